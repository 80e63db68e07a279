"""Stage 6: a teacher as a folder that toolscout loads: MiniLM's ONNX graph with its weights.

Invariant: what is written agrees with the network that was trained, or the stage fails.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from corpus import Corpus
from minilm import DEVICE, MiniLM, embed, load_tokenizer, tokenize
from onnx_weights import write_onnx

COPIED = ("tokenizer.json", "config.json", "tokenizer_config.json", "special_tokens_map.json")
LENGTH = 256
MANIFEST = f"""\
name = "minilm-tools"
pooling = "mean"
dimensions = 384
max_length = {LENGTH}
"""
# So many texts are compared, and so alike must their vectors be.
COMPARED, LEAST_COSINE = 64, 0.98


def embed_onnx(path: Path, ids: list[list[int]]) -> np.ndarray:
    """The vectors of `ids` by a model file, a text at a time."""
    session = onnxruntime.InferenceSession(path)
    vectors = []
    for row in ids:
        tokens = np.array([row], np.int64)
        inputs = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        mean = session.run(None, inputs)[0][0].mean(axis=0)
        vectors.append(mean / np.linalg.norm(mean))
    return np.array(vectors)


def compare(out: Path, checkpoint: Path, tokenizer: Tokenizer, model: Path) -> None:
    """Fails unless the file and the checkpoint agree on tools and queries."""
    corpus = Corpus(out)
    texts = corpus.texts[:: max(1, len(corpus.tools) // COMPARED)]
    texts += corpus.queries[:: max(1, len(corpus.queries) // COMPARED)]
    ids = tokenize(tokenizer, texts, LENGTH)
    network = MiniLM().to(DEVICE)
    network.load_state_dict(load_file(checkpoint))
    with torch.no_grad():
        trained = embed(network, ids, len(ids)).cpu().numpy()
    cosines = (trained * embed_onnx(model, ids)).sum(axis=1)
    least, mean = cosines.min(), cosines.mean()
    print(f"export: cosines of {len(ids)} texts: least {least:.4f}, mean {mean:.4f}")
    if least < LEAST_COSINE:
        raise SystemExit(f"{model} differs from {checkpoint}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint")
    arguments = parser.parse_args()
    folder = arguments.out / "minilm-tools"
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        shutil.copyfile(arguments.minilm / name, folder / name)
    (folder / "encoder.toml").write_text(MANIFEST)
    model = folder / "model.onnx"
    write_onnx(arguments.minilm / "model.onnx", load_file(arguments.teacher), model)
    compare(arguments.out, arguments.teacher, load_tokenizer(arguments.minilm), model)


if __name__ == "__main__":
    main()

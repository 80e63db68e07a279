"""Stage 3: what the teachers make of every text, for the student to learn.

Several teachers' vectors stand side by side, scaled so that a cosine is the mean of theirs.
Invariant: no held-out query, nor a part of one, is among the extra texts.
"""

import argparse
import json
import random
import re
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

import settings
from corpus import Corpus
from minilm import DEVICE, MiniLM, embed, load_tokenizer, tokenize
from progress import Progress
from texts import readable

# Texts that go through the network together, and between two reports.
TOGETHER, REPORTED = 256, 8192
KINDS = ("tools", "queries", "extra", "pieces")


def extra_texts(corpus: Corpus, numbers: settings.Vectors) -> list[str]:
    """Unlabelled text of the kind that the student will read: sentences of descriptions, names
    with their servers, and windows of queries."""
    found = set()
    for tool in corpus.tools:
        sentences = re.split(r"(?<=[.!?])\s|\n", tool.description.strip())
        for at, sentence in enumerate(sentences[: numbers.sentences]):
            sentence = sentence.strip(" -*#`")[:250]
            # Later sentences are often crumbs of lists.
            if len(sentence) > (15 if at == 0 else 25):
                found.add(sentence)
        found.add(readable(tool.text.split(". ")[0][:120]))
    source = random.Random(numbers.seed)
    for query in corpus.training:
        words = corpus.queries[query].split()
        for _ in range(numbers.windows if len(words) > 5 else 0):
            length = source.randint(3, min(len(words) - 1, 14))
            start = source.randint(0, len(words) - length)
            found.add(" ".join(words[start : start + length]))
    return sorted(found)


def pieces_alone(tokenizer: Tokenizer) -> list[list[int]]:
    """Every piece of the vocabulary as a text of its own."""
    begin, end = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    return [[begin, piece, end] for piece in range(tokenizer.get_vocab_size())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, nargs="+", required=True, help="checkpoints")
    arguments = parser.parse_args()
    numbers = settings.Vectors(**settings.read(arguments.out, "vectors"))
    corpus = Corpus(arguments.out)
    tokenizer = load_tokenizer(arguments.minilm)
    extra = extra_texts(corpus, numbers)
    print(f"vectors: {corpus.describe()}, {len(extra)} extra texts; on {DEVICE}", flush=True)
    ids = {
        "tools": tokenize(tokenizer, corpus.texts, numbers.tool_length),
        "queries": tokenize(tokenizer, corpus.queries, numbers.query_length),
        "extra": tokenize(tokenizer, extra, numbers.extra_length),
        "pieces": pieces_alone(tokenizer),
    }
    steps = sum(-(-len(ids[kind]) // REPORTED) for kind in KINDS) * len(arguments.teacher)
    progress = Progress(arguments.out, "vectors", steps)
    parts: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for checkpoint in arguments.teacher:
        network = MiniLM().to(DEVICE)
        network.load_state_dict(load_file(checkpoint))
        for kind in KINDS:
            vectors = []
            for at in range(0, len(ids[kind]), REPORTED):
                with torch.no_grad():
                    made = embed(network, ids[kind][at : at + REPORTED], TOGETHER)
                vectors.append(made.cpu().numpy())
                progress.step()
            parts[kind].append(np.concatenate(vectors))
    scale = np.float32(len(arguments.teacher) ** -0.5)
    beside = {kind: np.concatenate(parts[kind], axis=1) * scale for kind in KINDS}
    progress.measured(corpus.recall_at_5(beside["queries"][corpus.held_out], beside["tools"]))
    folder = arguments.out / "vectors"
    folder.mkdir(exist_ok=True)
    for kind in KINDS:
        np.save(folder / f"{kind}.npy", beside[kind])
    (folder / "extra.json").write_text(json.dumps(extra, ensure_ascii=False))


if __name__ == "__main__":
    main()

"""Stage 5: the student as the files that are shipped, and examples for the test of the tokenizer.

Invariant: the shipped vocabulary has exactly the pieces that a normalised text can have; the
number of a piece's line is the number of its row.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

import settings
from corpus import Corpus
from minilm import DEVICE, load_tokenizer
from static import LENGTH, Static, pieces
from texts import normalise

# What `src/text/pieces.rs` must split as the reference tokenizer does.
EXAMPLES = (
    "HTTPServer getFixturesByDate userIDs",
    "Crème brûlée in Zürich",
    "搜索网页 with 3 words",
    "v2.0_x, k8s & EC2Instance",
    "",
    "übergroße Straße ångström",
    "don't e-mail me!",
    "今日の天気",
    "한국어 검색",
    "URLs2 myAPIKey ABc",
    "a" * 101 + " b",
    "antidisestablishmentarianism qzxv",
)
# So many of the last places that were trained tell what those after them weigh.
LAST = 16


def is_reachable(piece: str) -> bool:
    """Whether a normalised text can have `piece`."""
    bare = piece.removeprefix("##")
    return (
        bool(bare)
        and not piece.startswith("[")
        and all(char.isalnum() for char in bare)
        and normalise(bare).replace(" ", "") == bare
    )


def places(log_weights: np.ndarray, trained: int) -> np.ndarray:
    """The weights of all places. Training has not seen those from `trained` on."""
    log_weights = log_weights.copy()
    log_weights[trained:] = log_weights[trained - LAST : trained].mean()
    return np.exp(log_weights).astype(np.float32)


def quantise(
    student: dict[str, np.ndarray], kept: list[int], numbers: settings.Student
) -> dict[str, np.ndarray]:
    """The rows `kept` as int8, and for either side what to multiply each with: the weight of its
    piece with the scale of the row, whose largest number is 127; and the weight of its place."""
    vectors = student["vectors"][kept]
    scale = np.maximum(np.abs(vectors).max(axis=1), 1e-9) / 127
    return {
        "vectors": np.round(vectors / scale[:, None]).astype(np.int8),
        "query": (np.exp(student["query"][kept]) * scale).astype(np.float32),
        "tool": (np.exp(student["tool"][kept]) * scale).astype(np.float32),
        "query_places": places(student["query_places"], numbers.query_length),
        "tool_places": places(student["tool_places"], numbers.tool_length),
    }


def write(folder: Path, tensors: dict[str, np.ndarray], vocabulary: list[str]) -> None:
    """Writes the model and the hashes of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    model, words = folder / "model.safetensors", folder / "vocab.txt"
    save_file(tensors, model)
    # Whoever builds the program must be able to read it: safetensors makes it private.
    model.chmod(0o644)
    words.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    sums = (
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" for file in (model, words)
    )
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")


def examples(tokenizer: Tokenizer, kept: list[int]) -> str:
    """A JSON line for each example: its text, and its pieces' numbers in the shipped vocabulary."""
    number = {piece: line for line, piece in enumerate(kept)}
    rows = pieces(tokenizer, list(EXAMPLES), LENGTH)
    lines = (
        {"text": text, "ids": [number[piece] for piece in row if piece]}
        for text, row in zip(EXAMPLES, rows, strict=True)
    )
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def measure(
    out: Path, tokenizer: Tokenizer, tensors: dict[str, np.ndarray], kept: list[int]
) -> None:
    """Prints how well held-out queries find their tools with what is shipped."""
    corpus = Corpus(out)
    size = (tokenizer.get_vocab_size(), tensors["vectors"].shape[1])
    # Pieces that no text has weigh nothing.
    vectors, weights = np.zeros(size, np.float32), np.full((2, size[0]), -np.inf, np.float32)
    vectors[kept] = tensors["vectors"]
    weights[:, kept] = np.log([tensors["query"], tensors["tool"]])
    shipped = Static(vectors, weights[0]).to(DEVICE)
    shipped.tool.data = shipped.tool.new_tensor(weights[1])
    shipped.query_places.data = shipped.tool.new_tensor(np.log(tensors["query_places"]))
    shipped.tool_places.data = shipped.tool.new_tensor(np.log(tensors["tool_places"]))
    held_out = [corpus.queries[query] for query in corpus.held_out]
    recalls = corpus.recall_at_5(
        shipped.embed(pieces(tokenizer, held_out, LENGTH), "query"),
        shipped.embed(pieces(tokenizer, corpus.texts, LENGTH), "tool"),
    )
    print("export: " + ", ".join(f"R@5 {name} {value:.4f}" for name, value in recalls.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minilm", type=Path, required=True)
    arguments = parser.parse_args()
    tokenizer = load_tokenizer(arguments.minilm)
    vocabulary = [tokenizer.id_to_token(piece) for piece in range(tokenizer.get_vocab_size())]
    kept = [number for number, piece in enumerate(vocabulary) if is_reachable(piece)]
    numbers = settings.Student(**settings.read(arguments.out, "student"))
    tensors = quantise(load_file(arguments.out / "student.safetensors"), kept, numbers)
    write(arguments.out / "scout", tensors, [vocabulary[piece] for piece in kept])
    (arguments.out / "pieces.jsonl").write_text(examples(tokenizer, kept), encoding="utf-8")
    print(f"export: {len(kept)} of {len(vocabulary)} pieces, {tensors['vectors'].nbytes} bytes")
    measure(arguments.out, tokenizer, tensors, kept)


if __name__ == "__main__":
    main()

"""MiniLM as a network to train, and how it reads a text.

Invariant: parameters have the names of Hugging Face's BERT, so a checkpoint of ours is one that
other programs read.
"""

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

LAYERS, WIDTH, HEADS, INNER = 6, 384, 12, 1536
PIECES, POSITIONS = 30522, 512
EPSILON = 1e-12
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def norm() -> nn.LayerNorm:
    """A layer's norm."""
    return nn.LayerNorm(WIDTH, EPSILON)


def block() -> nn.ModuleDict:
    """One layer's parameters, under BERT's names."""
    parts = {part: nn.Linear(WIDTH, WIDTH) for part in ("query", "key", "value")}
    mixed = {"dense": nn.Linear(WIDTH, WIDTH), "LayerNorm": norm()}
    attention = {"self": nn.ModuleDict(parts), "output": nn.ModuleDict(mixed)}
    output = {"dense": nn.Linear(INNER, WIDTH), "LayerNorm": norm()}
    return nn.ModuleDict(
        {
            "attention": nn.ModuleDict(attention),
            "intermediate": nn.ModuleDict({"dense": nn.Linear(WIDTH, INNER)}),
            "output": nn.ModuleDict(output),
        }
    )


class MiniLM(nn.Module):
    """Texts as unit vectors: the mean of their tokens. Multiplies in bfloat16, and keeps its
    parameters in float32."""

    def __init__(self) -> None:
        super().__init__()
        tables = {
            "word_embeddings": nn.Embedding(PIECES, WIDTH),
            "position_embeddings": nn.Embedding(POSITIONS, WIDTH),
            "token_type_embeddings": nn.Embedding(2, WIDTH),
        }
        self.embeddings = nn.ModuleDict(tables | {"LayerNorm": norm()})
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(block() for _ in range(LAYERS))})

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The vectors of a batch of ids, padded with zeros."""
        mask = ids > 0
        tables = self.embeddings
        tokens = tables["word_embeddings"](ids)
        tokens = tokens + tables["position_embeddings"].weight[: ids.shape[1]]
        tokens = tokens + tables["token_type_embeddings"].weight[0]
        tokens = normed(tokens, tables["LayerNorm"]).to(torch.bfloat16)
        bias = torch.where(mask[:, None, None, :], 0.0, -1e4).to(torch.bfloat16)
        for layer in self.encoder["layer"]:
            attention, output = layer["attention"], layer["output"]
            mixed = linear(attend(tokens, attention["self"], bias), attention["output"]["dense"])
            tokens = normed(tokens + mixed, attention["output"]["LayerNorm"])
            inner = functional.gelu(linear(tokens, layer["intermediate"]["dense"]))
            tokens = normed(tokens + linear(inner, output["dense"]), output["LayerNorm"])
        weights = mask[:, :, None].float()
        mean = (tokens.float() * weights).sum(1) / weights.sum(1)
        return functional.normalize(mean, dim=1)


def normed(tokens: torch.Tensor, layer: nn.LayerNorm) -> torch.Tensor:
    """`layer` in the precision of `tokens`."""
    weight, bias = layer.weight.to(tokens.dtype), layer.bias.to(tokens.dtype)
    return functional.layer_norm(tokens, (WIDTH,), weight, bias, EPSILON)


def linear(tokens: torch.Tensor, layer: nn.Linear) -> torch.Tensor:
    """`layer` in the precision of `tokens`."""
    return functional.linear(tokens, layer.weight.to(tokens.dtype), layer.bias.to(tokens.dtype))


def attend(tokens: torch.Tensor, parts: nn.ModuleDict, bias: torch.Tensor) -> torch.Tensor:
    """Attention of all heads. One multiplication for queries, keys and values: it is faster."""
    query, key, value = (parts[part] for part in ("query", "key", "value"))
    size, length, _ = tokens.shape
    scale = (WIDTH // HEADS) ** -0.5
    weight = torch.cat([query.weight * scale, key.weight, value.weight]).to(tokens.dtype)
    offset = torch.cat([query.bias * scale, key.bias, value.bias]).to(tokens.dtype)
    heads = functional.linear(tokens, weight, offset).view(size, length, 3, HEADS, WIDTH // HEADS)
    queries, keys, values = heads.permute(2, 0, 3, 1, 4).unbind(0)
    shares = torch.softmax(queries @ keys.transpose(-1, -2) + bias, -1)
    return (shares @ values).transpose(1, 2).reshape(size, length, WIDTH)


def load_tokenizer(folder: Path) -> Tokenizer:
    """MiniLM's tokenizer, cutting and padding nothing."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenize(tokenizer: Tokenizer, texts: list[str], length: int) -> list[list[int]]:
    """The ids of `texts` between the special tokens, at most `length` with them."""
    end = tokenizer.token_to_id("[SEP]")
    ids = (encoding.ids for encoding in tokenizer.encode_batch(texts))
    return [row if len(row) <= length else [*row[: length - 1], end] for row in ids]


def embed(network: MiniLM, ids: list[list[int]], size: int) -> torch.Tensor:
    """The vectors of `ids`, in their order. They go through the network in parts of about `size`
    texts of like length, which spares it padding."""
    order = np.argsort([len(row) for row in ids], kind="stable")
    parts = []
    for part in np.array_split(order, max(1, len(ids) // size)):
        longest = max(len(ids[at]) for at in part)
        padded = torch.zeros(len(part), longest, dtype=torch.long)
        for row, at in enumerate(part):
            padded[row, : len(ids[at])] = torch.tensor(ids[at])
        parts.append(network(padded.to(DEVICE)))
    return torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(DEVICE)]

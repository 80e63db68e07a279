"""The static encoder as a network, and how it reads a text.

Invariant: `pieces` gives the ids that `src/text/pieces.rs` gives, but for the numbering: there it
is that of the shipped vocabulary, which has only the pieces that a text can have.
"""

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from minilm import DEVICE
from texts import normalise

# The scale of the cosines is learned too, beginning with this.
FIRST_SCALE = 20.0
# Texts that are embedded together.
TOGETHER = 2048
# Pieces that are read of a text: the places that have a weight.
LENGTH = 256


class Static(nn.Module):
    """A text's vector is the weighted sum of its pieces', made a unit vector. A piece's weight is
    that of the piece times that of its place, both apart for queries and tools, both kept as
    logarithms."""

    def __init__(self, vectors: np.ndarray, log_weights: np.ndarray, left_out: float = 0.0) -> None:
        super().__init__()
        # The share of a text's pieces that it does without while it is trained.
        self.left_out = left_out
        self.vectors = nn.Parameter(torch.tensor(vectors, dtype=torch.float32))
        self.query = nn.Parameter(torch.tensor(log_weights, dtype=torch.float32))
        self.tool = nn.Parameter(torch.tensor(log_weights, dtype=torch.float32))
        self.query_places = nn.Parameter(torch.zeros(LENGTH))
        self.tool_places = nn.Parameter(torch.zeros(LENGTH))
        self.scale = nn.Parameter(torch.tensor(np.log(FIRST_SCALE), dtype=torch.float32))

    def forward(self, ids: torch.Tensor, side: str) -> torch.Tensor:
        """The vectors of texts on one `side`: `query` or `tool`. Zeros in `ids` are padding."""
        longest = max(1, int((ids > 0).sum(1).max()))
        ids = ids[:, :longest]
        is_query = side == "query"
        log_weights = (self.query if is_query else self.tool)[ids]
        log_places = (self.query_places if is_query else self.tool_places)[: ids.shape[1]]
        present = ids > 0
        if self.training and self.left_out:
            present = present & (torch.rand(ids.shape, device=ids.device) >= self.left_out)
        weights = torch.exp(log_weights + log_places) * present.float()
        vectors = functional.embedding(ids, self.vectors)
        return functional.normalize((weights[:, :, None] * vectors).sum(1), dim=1)

    @torch.no_grad()
    def embed(self, ids: np.ndarray, side: str) -> np.ndarray:
        """The vectors of many texts, all of their pieces read."""
        self.eval()
        order = np.argsort((ids > 0).sum(1), kind="stable")
        out = np.zeros((len(ids), self.vectors.shape[1]), np.float32)
        for at in range(0, len(order), TOGETHER):
            part = order[at : at + TOGETHER]
            out[part] = self(torch.from_numpy(ids[part]).to(DEVICE), side).cpu().numpy()
        self.train()
        return out


def pieces(tokenizer: Tokenizer, texts: list[str], length: int) -> np.ndarray:
    """The first `length` pieces of each text, padded with zeros; words that no piece fits are
    passed over."""
    unknown = tokenizer.token_to_id("[UNK]")
    plain = [normalise(text) for text in texts]
    rows = np.zeros((len(texts), length), np.int64)
    for row, encoding in zip(
        rows, tokenizer.encode_batch(plain, add_special_tokens=False), strict=True
    ):
        ids = [piece for piece in encoding.ids if piece != unknown][:length]
        row[: len(ids)] = ids
    return rows

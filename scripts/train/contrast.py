"""Contrastive learning as teacher and student share it: batches, typing errors, the loss.

A query has its own tool, the tools of the other queries and one sibling of each tool to choose
from. Invariant: a tool of the wanted one's name or text is never a wrong answer, since several
servers offer the same tool.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from corpus import Corpus


@dataclass(frozen=True)
class Batch:
    """Some queries, and the tools that they choose from."""

    queries: np.ndarray
    # The tool that each query wants, in their order, then the siblings.
    tools: np.ndarray
    # By query and tool: other tools that would do as well.
    also_right: torch.Tensor


def sibling(corpus: Corpus, tool: int, random: np.random.Generator) -> int:
    """Another tool of the same server, or any tool where that is hard to find."""
    siblings = corpus.of_server[corpus.server[tool]]
    other = siblings[random.integers(len(siblings))]
    if corpus.same_text[other] == corpus.same_text[tool]:
        other = random.integers(len(corpus.tools))
    return int(other)


def batches(
    corpus: Corpus, training: np.ndarray, size: int, random: np.random.Generator
) -> Iterator[Batch]:
    """One epoch over the queries `training`, in a new order, in whole batches."""
    order = random.permutation(training)
    for at in range(0, len(order) - size + 1, size):
        queries = order[at : at + size]
        wanted = corpus.wanted[queries]
        siblings = [sibling(corpus, tool, random) for tool in wanted]
        tools = np.concatenate([wanted, siblings])
        also_right = corpus.same_name[wanted][:, None] == corpus.same_name[tools]
        also_right |= corpus.same_text[wanted][:, None] == corpus.same_text[tools]
        np.fill_diagonal(also_right, False)
        yield Batch(queries, tools, torch.from_numpy(also_right))


def steps_of_epoch(training: np.ndarray, size: int) -> int:
    """How many batches an epoch has."""
    if len(training) < size:
        raise SystemExit(f"{len(training)} queries are too few for one batch of {size}")
    return len(training) // size


def loss(cosines: torch.Tensor, scale: torch.Tensor, batch: Batch) -> torch.Tensor:
    """InfoNCE from queries to tools and from tools to queries. `scale` is a logarithm."""
    scores = (scale.exp() * cosines).masked_fill(batch.also_right.to(cosines.device), -1e4)
    right = torch.arange(len(cosines), device=cosines.device)
    to_tools = functional.cross_entropy(scores, right)
    to_queries = functional.cross_entropy(scores[:, : len(cosines)].T, right)
    return (to_tools + to_queries) / 2


def mistype(query: str, random: np.random.Generator) -> str:
    """`query` with one or two typing errors, neither in short words nor in first letters."""
    words = query.split(" ")
    for _ in range(1 + random.integers(2)):
        long = [at for at, word in enumerate(words) if len(word) > 3]
        if not long:
            break
        at = long[random.integers(len(long))]
        word = words[at]
        cut = 1 + random.integers(len(word) - 2)
        before, char, after = word[:cut], word[cut], word[cut + 1 :]
        match random.integers(4):
            case 0:
                words[at] = before + after
            case 1:
                words[at] = before + char + char + after
            case 2:
                words[at] = before + after[0] + char + after[1:]
            case _:
                words[at] = before + chr(ord("a") + random.integers(26)) + after
    return " ".join(words)

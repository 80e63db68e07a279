"""The tools and the queries that are learned from, and the part of them that is held out.

Invariant: queries are held out by server, so that no held-out query is about a tool whose
siblings had queries in training. The queries of benchmarks are not read anywhere in here.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from texts import DATA, INVENTED, read_lines

# One server in so many is held out.
HELD_OUT = 20
PAIRS = ("pairs.jsonl.gz", "invented.pairs.jsonl.gz")


@dataclass(frozen=True)
class Tool:
    """What is learned from a tool."""

    catalog: str
    id: str
    server: str
    name: str
    description: str
    text: str


def is_held_out(server: str) -> bool:
    """Decided by the server's id alone, so it never changes as data is added."""
    return int(hashlib.md5(server.encode()).hexdigest(), 16) % HELD_OUT == 0


def numbered(keys: list) -> np.ndarray:
    """A number for each key, the same for equal ones."""
    numbers: dict = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


class Corpus:
    """Tools, queries, and which tool each query wants."""

    def __init__(self, out: Path) -> None:
        rows = read_lines(out / "texts.jsonl.gz")
        self.tools = [Tool(**{key: row[key] or "" for key in Tool.__annotations__}) for row in rows]
        number = {(tool.catalog, tool.id): at for at, tool in enumerate(self.tools)}
        pairs = [pair for name in PAIRS for pair in read_lines(DATA / name)]
        known = [pair for pair in pairs if (pair["catalog"], pair["tool"]) in number]
        self.without_text = len(pairs) - len(known)
        self.queries = [pair["query"] for pair in known]
        self.wanted = np.array([number[pair["catalog"], pair["tool"]] for pair in known])

        held_out = np.array([is_held_out(self.tools[tool].server) for tool in self.wanted])
        self.held_out = np.flatnonzero(held_out)
        self.training = np.flatnonzero(~held_out)
        if not len(self.held_out):
            raise SystemExit(f"no query is held out: {self.describe()}")
        self.catalogs = np.array([tool.catalog for tool in self.tools])
        # An invented tool is not taken for a real one of the same name.
        names = [
            (tool.catalog == INVENTED, re.sub(r"\W|_", "", tool.name.lower()))
            for tool in self.tools
        ]
        self.same_name = numbered(names)
        self.same_text = numbered(self.texts)
        self.server = numbered([(tool.catalog, tool.server) for tool in self.tools])
        by_server = np.argsort(self.server, kind="stable")
        self.of_server = np.split(by_server, np.flatnonzero(np.diff(self.server[by_server])) + 1)

    @property
    def texts(self) -> list[str]:
        """The text of each tool."""
        return [tool.text for tool in self.tools]

    def describe(self) -> str:
        """One line on what there is, and what is missing."""
        return (
            f"{len(self.tools)} tools, {len(self.training)} queries to train on, "
            f"{len(self.held_out)} held out, {self.without_text} left out for want of their tool"
        )

    def recall_at_5(self, queries: np.ndarray, tools: np.ndarray) -> dict[str, float]:
        """How often a held-out query finds its tool, or one of the same text, among the five
        nearest of its catalog: by catalog and over `all`. `queries` are the vectors of
        `held_out`."""
        found = np.zeros(len(self.held_out), bool)
        wanted = self.wanted[self.held_out]
        recalls = {}
        for catalog in np.unique(self.catalogs[wanted]):
            inside = np.flatnonzero(self.catalogs == catalog)
            asked = np.flatnonzero(self.catalogs[wanted] == catalog)
            scores = queries[asked] @ tools[inside].T
            nearest = inside[np.argpartition(-scores, 5)[:, :5]]
            same = self.same_text[nearest] == self.same_text[wanted[asked], None]
            found[asked] = same.any(axis=1)
            recalls[str(catalog)] = round(float(found[asked].mean()), 4)
        return recalls | {"all": round(float(found.mean()), 4)}

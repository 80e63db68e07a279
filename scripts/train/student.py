"""Stage 4: the static encoder: one vector for each piece, weighted and summed.

It begins with the teachers' vectors of single pieces, is fitted to their vectors of texts, and
then learns from the labels and from the teachers' ranking. Invariant: held-out queries are only
measured with.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional

import contrast
import settings
from corpus import Corpus
from minilm import DEVICE, load_tokenizer
from progress import Progress
from static import Static, pieces

WARM_UP = 30
# Rows that the principal components are taken of.
SAMPLE = 8000
# The vocabulary begins with special and unused pieces, which say nothing of the mean.
UNUSED = 1000
# A piece that makes up this share of all text begins with half the weight of a rare one.
COMMON = 1e-3


class Lesson:
    """All that a student learns from, as ids and as the teachers' vectors."""

    def __init__(self, out: Path, minilm: Path, numbers: settings.Student) -> None:
        self.numbers = numbers
        self.random = np.random.default_rng(numbers.seed)
        self.corpus = Corpus(out)
        tokenizer = load_tokenizer(minilm)
        mistyped = [contrast.mistype(query, self.random) for query in self.corpus.queries]
        self.tools = pieces(tokenizer, self.corpus.texts, numbers.tool_length)
        self.queries = pieces(tokenizer, self.corpus.queries, numbers.query_length)
        self.mistyped = pieces(tokenizer, mistyped, numbers.query_length)
        folder = out / "vectors"
        self.extra = pieces(
            tokenizer, json.loads((folder / "extra.json").read_text()), numbers.extra_length
        )
        taught = {kind: np.load(folder / f"{kind}.npy") for kind in ("tools", "queries", "extra")}
        # (ids, the teachers' vectors, side): a name or a sentence may stand on either.
        training = self.corpus.training
        self.texts = [
            (self.tools, taught["tools"], ("tool",)),
            (self.queries[training], taught["queries"][training], ("query",)),
            (self.extra, taught["extra"], ("query", "tool")),
        ]
        self.taught_queries = torch.from_numpy(taught["queries"]).to(DEVICE)
        self.taught_tools = torch.from_numpy(taught["tools"]).to(DEVICE)
        self.taught_pieces = np.load(folder / "pieces.npy")

    def components(self) -> np.ndarray:
        """The principal directions of the teachers' vectors, one a column."""
        vectors = np.concatenate([vectors for _, vectors, _ in self.texts])
        sample = self.random.choice(len(vectors), min(SAMPLE, len(vectors)), replace=False)
        _, _, directions = np.linalg.svd(vectors[sample], full_matrices=False)
        return directions[: self.numbers.dimensions].T

    def beginner(self, components: np.ndarray) -> Static:
        """A student that has learned nothing yet but what each piece means alone."""
        alone = self.taught_pieces - self.taught_pieces[UNUSED:].mean(0)
        vectors = alone @ components
        vectors /= np.abs(vectors).std() * 10
        used = np.concatenate([self.tools.ravel(), self.queries.ravel()])
        counts = np.bincount(used, minlength=len(vectors)).astype(float)
        counts[0] = 0
        share = counts / counts.sum()
        log_weights = np.log(COMMON / (COMMON + share) + 1e-3)
        return Static(vectors, log_weights, self.numbers.left_out).to(DEVICE)

    def rows(self, ids: np.ndarray) -> torch.Tensor:
        """Some texts where the student is."""
        return torch.from_numpy(ids).to(DEVICE)

    def measure(self, student: Static, progress: Progress) -> None:
        """Tells how well held-out queries find their tools."""
        queries = student.embed(self.queries[self.corpus.held_out], "query")
        progress.measured(self.corpus.recall_at_5(queries, student.embed(self.tools, "tool")))


def optimizer(
    student: Static, rate: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam, with a short rise of the rate and a long fall."""
    adam = torch.optim.Adam(student.parameters(), lr=rate, betas=(0.9, 0.99))
    return adam, torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: min(1, (step + 1) / WARM_UP) * (1 - 0.95 * step / max(1, steps))
    )


def fit(lesson: Lesson, student: Static, components: np.ndarray, progress: Progress) -> None:
    """Regression: every text's vector comes to point where the teachers' does."""
    numbers = lesson.numbers
    goals = []
    for _, vectors, _ in lesson.texts:
        goal = vectors @ components
        goal /= np.linalg.norm(goal, axis=1, keepdims=True)
        goals.append(torch.from_numpy(goal).to(DEVICE))
    adam, schedule = optimizer(student, numbers.rate, numbers.fit_epochs * fit_steps(lesson))
    for _ in range(numbers.fit_epochs):
        parts = []
        for (ids, _, sides), goal in zip(lesson.texts, goals, strict=True):
            order = lesson.random.permutation(len(ids))
            for at, rows in enumerate(np.array_split(order, parts_of(ids, numbers.batch))):
                parts.append((ids, goal, sides[at % len(sides)], rows))
        for at in lesson.random.permutation(len(parts)):
            ids, goal, side, rows = parts[at]
            vectors = student(lesson.rows(ids[rows]), side)
            loss = (1 - (vectors * goal[rows]).sum(1)).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            schedule.step()
            progress.step(fit=loss.item())
        lesson.measure(student, progress)


def parts_of(ids: np.ndarray, size: int) -> int:
    """How many batches of about `size` texts."""
    return max(1, len(ids) // size)


def fit_steps(lesson: Lesson) -> int:
    """Steps of an epoch of `fit`."""
    return sum(parts_of(ids, lesson.numbers.batch) for ids, _, _ in lesson.texts)


def contrast_and_distil(lesson: Lesson, student: Static, progress: Progress) -> None:
    """Labels say which tool is right; the teachers' cosines, how wrong the others are."""
    numbers, corpus = lesson.numbers, lesson.corpus
    epoch = contrast.steps_of_epoch(corpus.training, numbers.batch)
    adam, schedule = optimizer(student, numbers.rate, numbers.contrast_epochs * epoch)
    for _ in range(numbers.contrast_epochs):
        for batch in contrast.batches(corpus, corpus.training, numbers.batch, lesson.random):
            typos = lesson.random.random(len(batch.queries)) < numbers.typos
            asked = lesson.queries[batch.queries]
            asked[typos] = lesson.mistyped[batch.queries][typos]
            queries = student(lesson.rows(asked), "query")
            tools = student(lesson.rows(lesson.tools[batch.tools]), "tool")
            cosines = queries @ tools.T
            labels = contrast.loss(cosines, student.scale, batch)
            taught = lesson.taught_queries[batch.queries] @ lesson.taught_tools[batch.tools].T
            ranking = functional.kl_div(
                functional.log_softmax(student.scale.exp() * cosines, 1),
                functional.softmax(taught / numbers.temperature, 1),
                reduction="batchmean",
            )
            adam.zero_grad()
            (labels + numbers.distil * ranking).backward()
            adam.step()
            schedule.step()
            progress.step(contrast=labels.item(), distil=ranking.item())
        lesson.measure(student, progress)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minilm", type=Path, required=True)
    arguments = parser.parse_args()
    numbers = settings.Student(**settings.read(arguments.out, "student"))
    torch.manual_seed(numbers.seed)
    lesson = Lesson(arguments.out, arguments.minilm, numbers)
    print(f"student: {lesson.corpus.describe()}; on {DEVICE}", flush=True)
    components = lesson.components()
    student = lesson.beginner(components)
    steps = numbers.fit_epochs * fit_steps(lesson) + numbers.contrast_epochs * (
        contrast.steps_of_epoch(lesson.corpus.training, numbers.batch)
    )
    progress = Progress(arguments.out, "student", steps)
    lesson.measure(student, progress)
    fit(lesson, student, components, progress)
    contrast_and_distil(lesson, student, progress)
    save_file(
        {name: value.cpu() for name, value in student.state_dict().items()},
        arguments.out / "student.safetensors",
    )


if __name__ == "__main__":
    main()

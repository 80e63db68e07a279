"""Every number that decides what is trained.

Each stage reads its own numbers from a file in `OUT/settings/`. This program writes those files,
and leaves alone the ones that already say the same: a stage runs again exactly when its own
numbers have changed.
"""

import argparse
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Texts:
    """What is read of the catalogs."""

    # Only so many tools of each catalog; None for all.
    tools_of_each: int | None = None


@dataclass(frozen=True)
class Teacher:
    """One fine-tuning of MiniLM."""

    epochs: int = 2
    batch: int = 256
    rate: float = 5e-5
    # The share of queries that get typing errors.
    typos: float = 0.12
    # Whether the invented tools are learned too, not only the real ones.
    invented: bool = True
    # Tokens that are read of a query and of a tool: less than a teacher reads later, for speed.
    query_length: int = 64
    tool_length: int = 72
    seed: int = 0


@dataclass(frozen=True)
class Vectors:
    """What the teachers embed for the student."""

    query_length: int = 72
    tool_length: int = 96
    extra_length: int = 64
    # Sentences taken of a description, and windows of a query.
    sentences: int = 8
    windows: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Student:
    """The static encoder."""

    dimensions: int = 384
    batch: int = 512
    rate: float = 3e-3
    # Epochs of regression to the teachers' vectors, then of contrastive learning.
    fit_epochs: int = 4
    contrast_epochs: int = 8
    # How much the teachers' ranking counts beside the labels, and how sharp it is.
    distil: float = 1.0
    temperature: float = 0.03
    typos: float = 0.15
    # The share of a text's pieces that it has to do without, so that no piece is relied on alone.
    left_out: float = 0.2
    # Pieces that are read of a query, of a tool and of an extra text.
    query_length: int = 64
    tool_length: int = 96
    extra_length: int = 32
    seed: int = 0


@dataclass(frozen=True)
class Settings:
    """One run. The student learns from all teachers at once."""

    texts: Texts = field(default_factory=Texts)
    teachers: tuple[Teacher, ...] = (Teacher(),)
    vectors: Vectors = field(default_factory=Vectors)
    student: Student = field(default_factory=Student)


FULL = Settings()

# Minutes from end to end: shows that every stage works, and makes weights that are worth nothing.
SMOKE = Settings(
    texts=Texts(tools_of_each=150),
    teachers=(Teacher(epochs=1, batch=32), Teacher(epochs=1, batch=32, invented=False, seed=1)),
    vectors=Vectors(sentences=2, windows=1),
    student=Student(batch=64, fit_epochs=3, contrast_epochs=2),
)


def read(out: Path, stage: str) -> dict:
    """The numbers of `stage`, to make its class of."""
    return json.loads((out / "settings" / f"{stage}.json").read_text())


def write(out: Path, settings: Settings) -> None:
    """Writes the files of all stages and removes those of teachers that are no more."""
    stages = {
        "texts": settings.texts,
        "vectors": settings.vectors,
        "student": settings.student,
        **{f"teacher-{number}": teacher for number, teacher in enumerate(settings.teachers)},
    }
    folder = out / "settings"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        if path.stem not in stages:
            path.unlink()
    for name, numbers in stages.items():
        path = folder / f"{name}.json"
        text = json.dumps(asdict(numbers), indent=2) + "\n"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    write(arguments.out, SMOKE if arguments.smoke else FULL)

"""Stage 7: the logs of all stages in one file, and a picture of them."""

import argparse
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from texts import read_lines, write_lines

# The same logs make the same bytes.
matplotlib.rcParams["svg.hashsalt"] = "toolscout"
LOSSES = {
    "contrast": "contrastive loss",
    "fit": "1 - cosine to the teachers",
    "distil": "KL to the teachers",
}


def draw(axes: Axes, rows: list[dict], key: str, label: str) -> None:
    """One curve, over the share of its stage that is done; nothing where there are no such rows."""
    rows = [row for row in rows if key in row]
    done = [row["step"] / row["steps"] for row in rows]
    values = [row[key]["all"] if key == "recall_at_5" else row[key] for row in rows]
    if rows:
        axes.plot(done, values, label=label, marker="o" if key == "recall_at_5" else None)


def plot(stages: dict[str, list[dict]], path: Path) -> None:
    """Draws the losses of the teachers, those of the student, and everybody's recall."""
    figure = Figure(figsize=(13, 4), layout="tight")
    teachers, student, recall = figure.subplots(1, 3)
    for name, rows in stages.items():
        for key, label in LOSSES.items():
            if name == "student":
                draw(student, rows, key, label)
            else:
                draw(teachers, rows, key, name)
        draw(recall, rows, "recall_at_5", "teachers together" if name == "vectors" else name)
    teachers.set_title("Teachers: contrastive loss")
    student.set_title("Student: losses")
    recall.set_title("Held-out queries: R@5")
    for axes in (teachers, student, recall):
        axes.set_xlabel("share of the stage done")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    student.set_yscale("log")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    stages = {path.stem: read_lines(path) for path in sorted((out / "logs").glob("*.jsonl"))}
    write_lines(out / "log.jsonl", [row for rows in stages.values() for row in rows])
    plot(stages, out / "curves.svg")


if __name__ == "__main__":
    main()

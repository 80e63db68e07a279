"""What a stage tells while it runs: lines to read, and a log to draw.

Invariant: the log has the same number of lines, at the same steps, however long the stage takes.
"""

import json
import time
from pathlib import Path

# Lines in the log for a whole stage, and seconds between two that are printed.
LINES = 200
PAUSE = 15


def spell(seconds: float) -> str:
    """A duration as people say it."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


class Progress:
    """Counts the steps of a stage whose number is known."""

    def __init__(self, out: Path, stage: str, steps: int) -> None:
        folder = out / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / f"{stage}.jsonl").open("w")
        self.stage, self.steps, self.done = stage, steps, 0
        self.every = max(1, steps // LINES)
        self.started = self.printed = time.monotonic()
        self.sums: dict[str, float] = {}
        self.summed = 0

    def step(self, **losses: float) -> None:
        """One step done, with its losses."""
        self.done += 1
        if losses.keys() != self.sums.keys():
            # Another part of the stage begins.
            self.sums, self.summed = dict.fromkeys(losses, 0.0), 0
        for name, value in losses.items():
            self.sums[name] += value
        self.summed += 1
        if self.done % self.every:
            return
        means = {name: round(value / self.summed, 5) for name, value in self.sums.items()}
        self.sums, self.summed = {}, 0
        if means:
            self.log(means)
        now = time.monotonic()
        if now - self.printed >= PAUSE or self.done == self.steps:
            self.printed = now
            self.say(means)

    def measured(self, recalls: dict[str, float]) -> None:
        """What a validation found."""
        self.log({"recall_at_5": recalls})
        self.say({f"R@5 {name}": value for name, value in recalls.items()})

    def log(self, figures: dict) -> None:
        """Puts a line into the log."""
        seconds = round(time.monotonic() - self.started, 1)
        row = {"stage": self.stage, "step": self.done, "steps": self.steps, "seconds": seconds}
        self.file.write(json.dumps(row | figures) + "\n")
        self.file.flush()

    def say(self, figures: dict[str, float]) -> None:
        """Prints where the stage is."""
        elapsed = time.monotonic() - self.started
        left = elapsed / max(1, self.done) * (self.steps - self.done)
        told = [f"step {self.done} of {self.steps}"]
        told += [f"{name} {value:.4f}" for name, value in figures.items()]
        told += [spell(elapsed), f"about {spell(left)} left"]
        print(f"{self.stage}: {', '.join(told)}", flush=True)

"""What scripts/load.sh asks, and what came of it.

  load_picture.py sample URL QUERIES...    the addresses to ask, from files of labelled queries
  load_picture.py draw FOLDER PICTURE      the table, and the picture, of the figures in FOLDER
"""

import csv
import itertools
import json
import math
import random
import sys
from pathlib import Path
from urllib.parse import quote_plus

WIDTH, HEIGHT = 760, 440
LEFT, TOP, RIGHT, BOTTOM = 62, 70, 600, 384
COLOURS = ["#3b82f6", "#10a37f", "#e0701a", "#c2459b"]
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f } .small { font-size: 12px; fill: #57606a }
.page { fill: #fff } .grid { stroke: #d0d7de } .line { fill: none; stroke-width: 2 }
.middle { text-anchor: middle } .end { text-anchor: end }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .small { fill: #9198a1 } .page { fill: #0d1117 } .grid { stroke: #3d444d } }
</style>"""


def sample(url, *paths):
    sets = [[json.loads(line)["query"] for line in open(path)] for path in paths]
    for queries in sets:
        random.Random(7).shuffle(queries)
    # In turn from each set, so that a small one is not lost among thousands of another.
    mixed = [query for turn in itertools.zip_longest(*sets) for query in turn if query]
    for query in mixed[:2000]:
        print(f"{url}/v1/search?q={quote_plus(query)}")


class Run:
    """One run: its latencies in order, and what the server used meanwhile."""
    def __init__(self, folder, machine, name, rate, count, before, after):
        self.name, self.rate = name, rate
        rows = list(csv.DictReader((folder / f"{name}.csv").open()))
        self.ms = sorted(float(row["request-duration"]) * 1e3 for row in rows if row["status"] == "200")
        self.errors = count - len(self.ms)
        if not self.ms:
            sys.exit(f"load: {name}: not one answer was 200")
        starts = [float(row["request-start"]) for row in rows]
        self.achieved = (len(starts) - 1) / max(max(starts) - min(starts), 1e-9)
        clock, ticks, memory, self.published = (b and b - a for a, b in zip(before, after))
        self.rss = "-" if memory is None else f"{before[2] / 1024:.0f} > {after[2] / 1024:.0f}"
        available = clock / 1e6 * machine["ticks"] * machine["cores"]
        self.cpu = "-" if ticks is None else f"{100 * ticks / available:.0f} %"

    def at(self, share):
        """The latency that this share of the requests does not pass."""
        return self.ms[min(max(math.ceil(share * len(self.ms)), 1), len(self.ms)) - 1]

    def row(self):
        shares = (0.5, 0.9, 0.99, 0.999)
        shown = [f"{self.at(s):.1f}" if len(self.ms) * (1 - s) > 0.99 else "-" for s in shares]
        return [self.name, self.rate, f"{self.achieved:.0f}", *shown, f"{self.ms[-1]:.1f}",
                self.errors, self.rss, self.cpu, self.published]

    def points(self):
        """(nines, ms), evenly on the scale of nines (0.5 is 0.3, 0.9 is 1, 0.99 is 2)."""
        last = math.log10(len(self.ms))
        steps = [step / 20 for step in range(int(20 * last) + 1)]
        return [(nines, self.at(1 - 10**-nines)) for nines in steps] + [(last, self.ms[-1])]


def table(runs):
    heads = "load asked/s got/s p50 p90 p99 p99.9 max,ms errors RSS,MB CPU published".split()
    rows = [heads, *([str(cell) for cell in run.row()] for run in runs)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for name, *cells in rows:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:])]
        print("  ".join([name.ljust(widths[0]), *padded]))
    for run in runs:
        if run.achieved < 0.97 * run.rate:
            print(f"load: {run.name}: {run.rate}/s is more than this machine answers", file=sys.stderr)


def picture(runs, conditions):
    lines = [run.points() for run in runs]
    decades = max(line[-1][0] for line in lines)
    low = math.floor(math.log10(min(line[0][1] for line in lines)))
    high = math.ceil(math.log10(max(line[-1][1] for line in lines)))
    x = lambda nines: LEFT + nines / decades * (RIGHT - LEFT)
    y = lambda ms: BOTTOM - (math.log10(ms) - low) / (high - low) * (BOTTOM - TOP)
    text = lambda x, y, words, kind="small": f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{words}</text>'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" role="img">'
    yield STYLE + f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
    yield text(16, 26, "Latency of a search over HTTP by percentile, open loop", "")
    yield text(16, 46, conditions)
    yield text(LEFT - 6, TOP - 8, "ms", "small end")
    for ms in [digit * 10.0**power for power in range(low, high) for digit in (1, 2, 5)] + [10.0**high]:
        yield f'<path class="grid" d="M{LEFT} {y(ms):.1f}H{RIGHT}"/>'
        yield text(LEFT - 6, y(ms) + 4, f"{ms:g}", "small end")
    for nines in [0, math.log10(2), *range(1, int(decades) + 1)]:
        yield f'<path class="grid" d="M{x(nines):.1f} {TOP}V{BOTTOM}"/>'
        yield text(x(nines), BOTTOM + 18, f"{100 * (1 - 10**-nines):.6g}", "small middle")
    yield text((LEFT + RIGHT) / 2, BOTTOM + 40, "percentile of requests", "small middle")
    for at, (run, line, colour) in enumerate(zip(runs, lines, COLOURS)):
        # Dashes for the run with changes: told apart without colours, too.
        style = f'class="line" stroke="{colour}"' + ' stroke-dasharray="6 3"' * ("changes" in run.name)
        yield f'<path {style} d="M{"L".join(f"{x(nines):.1f} {y(ms):.1f}" for nines, ms in line)}"/>'
        yield f'<path {style} d="M{RIGHT + 14} {TOP + 10 + 50 * at}h18"/>'
        yield text(RIGHT + 38, TOP + 14 + 50 * at, run.name, "")
        yield text(RIGHT + 38, TOP + 30 + 50 * at, f"{run.rate} requests/s")
    yield "</svg>"


def draw(folder, file):
    machine, *runs = map(json.loads, (Path(folder) / "runs.jsonl").open())
    runs = [Run(Path(folder), machine, **run) for run in runs if run["name"] != "warm-up"]
    table(runs)
    Path(file).write_text("\n".join(picture(runs, machine["conditions"])) + "\n")


{"sample": sample, "draw": draw}[sys.argv[1]](*sys.argv[2:])

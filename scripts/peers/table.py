"""The table of scripts/compare-peers.sh, from a file of rows; toolscout's is the first of each set."""

import json
import sys

# Key, heading, format.
COLUMNS = [
    ("rank_ms", "rank, ms", ".2f"),
    ("call_ms", "call, ms", ".2f"),
    ("memory_mb", "memory, MB", ".0f"),
    ("build_s", "build, s", ".2f"),
    ("recall", "R@5", ".3f"),
]
LEGEND = """
- (n×): times toolscout's figure, on the same queries.
- rank: mean CPU time of a query, warm, no transport; of toolscout the time that its answers tell
  (took_us), which is a clock's: too high on a busy machine.
- call: the same as an agent calls it. toolscout: all CPU of the server, HTTP included, not the
  client's. FastMCP: `search_tools` by its client in the same process, so both sides. ratel-ai: its
  `search_capabilities` function, no transport.
- memory: resident once every query was asked; of Python, less an empty interpreter.
- build: CPU time from the file until queries are answered; of Python, without imports.
- R@5: share of needed tools among the first five; toolscout's `duplicates` do not count."""


def times(ratio):
    return f"{ratio:.2f}×" if ratio < 1.995 else f"{ratio:.1f}×" if ratio < 9.95 else f"{ratio:,.0f}×"


def cells(row, own):
    for key, _, form in COLUMNS:
        yield format(row[key], form) + ("" if row is own else f" ({times(row[key] / own[key])})")


def main(path):
    with open(path, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    print(f"| set | tools | queries | system | {' | '.join(heading for _, heading, _ in COLUMNS)} |")
    print("|---" * (4 + len(COLUMNS)) + "|")
    for row in rows:
        own = next(other for other in rows if other["set"] == row["set"])
        head = [row["set"], f"{row['tools']:,}", str(row["queries"]), row["system"]]
        print(f"| {' | '.join([*head, *cells(row, own)])} |")
    print(LEGEND)
    for system, size in {row["system"]: row["imports_mb"] for row in rows if "imports_mb" in row}.items():
        print(f"- of the memory of {system}, {size:.0f} MB are its imports.")


main(sys.argv[1])

"""What every system is measured with: the same tools, queries, clock and score."""

import gzip
import json
import pathlib
import time

LIMIT = 5
# A whole number of passes over the queries that takes at least so much CPU: the kernel counts a
# server's time in steps of 10 ms.
LEAST_CPU_S = 2.0


def read(path):
    """The objects of a .jsonl or .jsonl.gz, one after the other: none of them is kept here."""
    with (gzip.open if str(path).endswith(".gz") else open)(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def tools(path):
    """Each tool with its id, which is unique where names are not."""
    for tool in read(path):
        yield f"{tool['server']}/{tool['name']}", tool


def sample(path, most):
    """At most so many of the queries, evenly spread."""
    queries = list(read(path))
    kept = min(most, len(queries))
    return [queries[i * len(queries) // kept] for i in range(kept)]


def recall(query, ranked):
    """The share of needs met by the first tools; a need is met by its tool or an alternative, and
    a tool meets one need at most."""
    alternatives = query.get("alternatives", {})
    needs = [{tool, *alternatives.get(tool, [])} for tool in query["relevant"]]
    open_needs = list(needs)
    for tool in list(dict.fromkeys(ranked))[:LIMIT]:
        met = next((need for need in open_needs if tool in need), None)
        if met is not None:
            open_needs.remove(met)
    return 1 - len(open_needs) / len(needs)


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def resident_mb(pid="self"):
    """Resident memory of a process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    raise RuntimeError(f"process {pid} has ended")


async def cpu_ms(ask, queries, clock=time.process_time):
    """Mean CPU time of a query; the caller has warmed the system up."""
    asked, begun = 0, clock()
    while (spent := clock() - begun) < LEAST_CPU_S:
        for query in queries:
            await ask(query["query"])
        asked += len(queries)
    return spent / asked * 1000

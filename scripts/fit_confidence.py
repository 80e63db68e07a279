#!/usr/bin/env python3
"""Fits the confidence of a hit and writes src/search/confidence/fitted.rs.

Usage: scripts/fit_confidence.py [--toolscout FILE] [--data DIR] [--benchmarks DIR] [--dry-run]

Runs `toolscout eval --features` on the labelled sets, on the queries that nothing fits, and on
queries of one set against the catalog of another, where nothing fits but by chance; fits a
logistic regression for each kind of answer; and prints what five-fold cross-validation (by query)
says of it. Standard library only.
"""

import argparse, gzip, json, math, os, random, subprocess, tempfile, zlib
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
FOLDS = 5
HITS = 10  # of each query
MOST = 400  # queries of a set
CROSS = 150  # queries of a set against another catalog
# The share of good answers that may be told to be none.
FALSE_ALARMS = 0.08
# Real servers, asked as people ask: these sets count so many times.
OWN, OWN_WEIGHT = ("real-servers", "demo"), 4
CROSSED = [
    ("sealtools", "demo"), ("metatool", "demo"), ("stabletoolbench", "demo"),
    ("livemcpbench", "demo"), ("sealtools", "livemcpbench"), ("sealtools", "real-servers"),
    ("sealtools", "stabletoolbench"),
]
SETS = ["real-servers", "demo", "livemcpbench", "smithery-mcp", "metatool", "sealtools",
        "stabletoolbench"]


def lines(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
        return [line for line in file.read().splitlines() if line.strip()]


def sample(queries, most):
    return random.Random(7).sample(queries, most) if len(queries) > most else queries


class Sets:
    """The catalogs and queries, and the features that toolscout makes of them."""

    def __init__(self, args, work):
        self.args, self.work, self.found = args, work, {}
        demo = work / "demo"
        demo.mkdir()
        subprocess.run(
            [args.toolscout, "crawl", "--demo", "--out", demo / "catalog.jsonl",
             "--out-servers", demo / "servers.jsonl"], check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def folder(self, name):
        return self.work / "demo" if name == "demo" else self.args.benchmarks / name

    def queries(self, name):
        if name == "demo":
            return lines(REPO / "index-data/demo/queries.jsonl")
        none = self.folder(name) / "queries_none.jsonl"
        return sample(lines(self.folder(name) / "queries.jsonl"), MOST) + (
            lines(none) if none.exists() else [])

    def measure(self, queries, catalog, arm):
        folder = self.folder(catalog)
        files = [folder / "catalog.jsonl", folder / "catalog.jsonl.gz"]
        asked, out = self.work / "queries.jsonl", self.work / "features.jsonl"
        asked.write_text("\n".join(queries))
        command = [self.args.toolscout, "eval", "--arm", arm, "--json", "--features", out,
                   "--catalog", next(file for file in files if file.exists()), "--queries", asked]
        if self.args.data:
            command += ["--data", self.args.data]
        if (folder / "servers.jsonl").exists():
            command += ["--servers", folder / "servers.jsonl"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return [json.loads(line) for line in lines(out)]

    def all(self, arm):
        """(name of the set, weight of each of its queries, measured queries)"""
        for name in SETS:
            measured = self.measure(self.queries(name), name, arm)
            yield name, (OWN_WEIGHT if name in OWN else 1) / len(measured), measured
        for name, catalog in CROSSED:
            measured = self.measure(sample(self.queries(name), CROSS), catalog, arm)
            for query in measured:
                query["needs"] = 0
            yield f"{name} on {catalog}", 0.4 / len(measured), measured


def row(hit):
    cosine, coverage = hit["cosine"] or 0.0, math.sqrt(hit["coverage"])
    return [1.0, cosine, coverage, hit["length"], float(hit["named"])]


def solve(a, b):
    n = len(b)
    a = [line[:] + [value] for line, value in zip(a, b)]
    for at in range(n):
        pivot = max(range(at, n), key=lambda line: abs(a[line][at]))
        a[at], a[pivot] = a[pivot], a[at]
        for line in range(n):
            if line != at:
                factor = a[line][at] / a[at][at]
                a[line] = [x - factor * y for x, y in zip(a[line], a[at])]
    return [a[at][n] / a[at][at] for at in range(n)]


def predict(weights, values):
    return 1 / (1 + math.exp(-sum(w * v for w, v in zip(weights, values))))


def fit(rows):
    """Newton's method; a slight ridge keeps a feature that is always zero at zero."""
    n = len(rows[0][0])
    weights = [0.0] * n
    for _ in range(9):
        gradient, hessian = [0.0] * n, [[1e-3 * (i == j) for j in range(n)] for i in range(n)]
        for values, label, weight in rows:
            p = predict(weights, values)
            error, spread = weight * (label - p), weight * p * (1 - p)
            for i in range(n):
                gradient[i] += error * values[i]
                for j in range(n):
                    hessian[i][j] += spread * values[i] * values[j]
        for i in range(1, n):
            gradient[i] -= 1e-3 * weights[i]
        weights = [w + d for w, d in zip(weights, solve(hessian, gradient))]
    return weights


def fold_of(name, query):
    return zlib.crc32(f"{name} {query['id']}".encode()) % FOLDS


def reliability(title, rows):
    print(f"\n{title}: predicted, observed, hits")
    for low in range(5):
        part = [r for r in rows if low <= min(4.999, r[0] * 5) < low + 1]
        total = sum(weight for _, _, weight in part) or 1
        predicted = sum(p * weight for p, _, weight in part) / total
        observed = sum(label * weight for _, label, weight in part) / total
        print(f"| {low / 5:.1f}-{low / 5 + .2:.1f} | {predicted:.3f} | {observed:.3f} | {len(part)} |")


def alarms(title, answers, threshold):
    """Of an answer whose tools are all wrong: is it said?"""
    told = [a for a in answers if a["best"] < threshold]
    wrong = [a for a in answers if not a["good"]]
    none = [a for a in answers if a["none"]]
    right = sum(not a["good"] for a in told)
    flagged = sum(a["none"] for a in told)
    share = lambda a, b: f"{a / b:.3f}" if b else "-"
    print(f"| {title} | {len(answers)} | {len(none)} | {share(right, len(told))} "
          f"| {share(right, len(wrong))} | {share(flagged, len(none))} "
          f"| {share(len(told) - right, len(answers) - len(wrong))} |")


def study(sets, arm):
    measured = [(name, weight, query) for name, weight, queries in sets.all(arm) for query in queries]
    training = [(fold_of(name, query), row(hit), float(hit["relevant"]), 1000 * weight / HITS)
                for name, weight, query in measured for hit in query["hits"][:HITS]]
    models = [fit([r[1:] for r in training if r[0] != fold]) for fold in range(FOLDS)]
    answers, own, every = [], [], []
    for name, weight, query in measured:
        model = models[fold_of(name, query)]
        hits = [(predict(model, row(hit)), hit["relevant"]) for hit in query["hits"][:HITS]]
        every += [(p, label, weight) for p, label in hits]
        if name in OWN:
            own += [(p, label, weight) for p, label in hits]
        answers.append({
            "set": name, "weight": weight, "none": query["needs"] == 0,
            "best": max((p for p, _ in hits), default=0), "good": any(label for _, label in hits)})
    # The largest threshold that stays within the false alarms.
    good = sorted((a["best"], a["weight"]) for a in answers if a["good"])
    allowed, threshold = FALSE_ALARMS * sum(weight for _, weight in good), 0.0
    for best, weight in good:
        allowed -= weight
        if allowed < 0:
            break
        threshold = best
    weights = fit([r[1:] for r in training])
    print(f"\n## {arm}\n\n{[round(w, 3) for w in weights]}, no good match below {threshold:.3f}")
    reliability("real-servers and demo", own)
    reliability("all", every)
    print("\n| set | answers | nothing fits | precision | recall | flagged of nothing fits "
          "| false alarms |")
    for name in dict.fromkeys(a["set"] for a in answers):
        alarms(name, [a for a in answers if a["set"] == name], threshold)
    alarms("real-servers and demo", [a for a in answers if a["set"] in OWN], threshold)
    alarms("all", answers, threshold)
    return weights, threshold


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--toolscout", default=REPO / "target/release/toolscout", type=Path)
    parser.add_argument("--data", type=Path, help="where model and cached vectors are")
    parser.add_argument("--benchmarks", type=Path, default=Path(
        os.environ.get("TOOLSCOUT_BENCHMARKS", REPO / "../shared/benchmarks")))
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        sets = Sets(args, Path(work))
        hybrid, below = study(sets, "hybrid")
        lexical, below_lexical = study(sets, "lexical")
    if args.dry_run:
        return
    numbers = lambda weights: ", ".join(f"{w:.3f}" for w in weights)
    (REPO / "src/search/confidence/fitted.rs").write_text(f"""\
//! Written by `scripts/fit_confidence.py`; fit again when an arm or the encoder changes.

/// Constant, cosine, root of the coverage, length, named.
pub const HYBRID: [f32; 5] = [{numbers(hybrid)}];
/// The same where there is no vector.
pub const LEXICAL: [f32; 5] = [{numbers(lexical)}];
/// An answer of which no tool reaches this has no good match.
pub const NO_GOOD_MATCH: f32 = {below:.3f};
/// The same where there is no vector.
pub const NO_GOOD_MATCH_LEXICAL: f32 = {below_lexical:.3f};
""")


if __name__ == "__main__":
    main()

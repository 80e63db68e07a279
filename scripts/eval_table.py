"""The table of scripts/eval.sh, from a folder of `SET.ARM.json` reports of `toolscout eval`."""

import json
import pathlib
import sys

SETS = ["livemcpbench", "smithery-mcp", "metatool", "two-tool", "sealtools", "stabletoolbench", "real-servers"]
# A second task of a set that is already in the mean.
NOT_IN_MEAN = {"two-tool"}
ARMS = ["lexical", "dense", "hybrid"]


def main(folder):
    reports = {}
    for path in pathlib.Path(folder).glob("*.json"):
        name, arm = path.stem.rsplit(".", 1)
        reports[name, arm] = json.loads(path.read_text())
    found = [name for name in SETS if (name, "hybrid") in reports]
    print("| set | tools | queries | lexical R@5 | dense R@5 | hybrid R@5 | 95% | hybrid C@10 | as served |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in found:
        report = reports[name, "hybrid"]
        everything, served = report["all"], report["as_served"]
        metrics, interval = everything["metrics"], everything["intervals"]["R@5"]
        recalls = " | ".join(f"{reports[name, arm]['all']['metrics']['R@5']:.3f}" for arm in ARMS)
        print(
            f"| {name} | {report['tools']:,} | {everything['n']:,} | {recalls} "
            f"| {interval['low']:.2f}-{interval['high']:.2f} | {metrics['C@10']:.3f} "
            f"| {served['recall']:.3f} of {served['returned']:.1f} |"
        )
    counted = [name for name in found if name not in NOT_IN_MEAN]
    if counted:
        mean = lambda arm, metric: sum(reports[n, arm]["all"]["metrics"][metric] for n in counted) / len(counted)
        recalls = " | ".join(f"**{mean(arm, 'R@5'):.3f}**" for arm in ARMS)
        print(f"| **mean of {len(counted)} sets** | | | {recalls} | | **{mean('hybrid', 'C@10'):.3f}** | |")


main(sys.argv[1])

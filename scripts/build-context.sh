#!/usr/bin/env bash
# Copies what `docker build` would be given: the files of this repository that .dockerignore lets
# through, by Docker's rule that the last pattern that fits says.
# Usage: scripts/build-context.sh DEST
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dest=${1:?usage: scripts/build-context.sh DEST}
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
cd "$root"

python3 - <<'PYTHON' | tar -C "$root" --null -T - -cf - | tar -C "$dest" -xf -
import fnmatch, subprocess, sys

patterns = [line.strip() for line in open(".dockerignore")]
patterns = [line for line in patterns if line and not line.startswith("#")]


def ignored(path):
    parts = path.split("/")
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    out = False
    for pattern in patterns:
        keeps, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        # A star stops at a slash.
        fits = (p.count("/") == pattern.count("/") and fnmatch.fnmatchcase(p, pattern) for p in above)
        if any(fits):
            out = not keeps
    return out


listed = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
).stdout.decode()
for path in filter(None, listed.split("\0")):
    if not ignored(path):
        sys.stdout.write(path + "\0")
PYTHON

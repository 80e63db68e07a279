#!/usr/bin/env bash
# Installs the real MCP servers of tests/matrix at pinned versions (npm and PyPI, nothing of them is
# run while installing), crawls each over stdio, HTTP and SSE, and compares with docs/upstreams.md.
# Fails where a server is not listed as the official SDK lists it, or not as it was before.
# Usage: scripts/upstreams.sh [--write] [NAME…]
#   --write   writes docs/upstreams.md anew (with names: those rows of it)
# TOOLSCOUT names the program; by default it is built (release).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'upstreams: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

for need in node npm python3; do
  command -v "$need" >/dev/null || die "$need is missing: install it, then run scripts/upstreams.sh again"
done

into=tests/matrix
stamp=$(node --version && cksum "$into/package.json" "$into/package-lock.json")
if [[ ! -f $into/node_modules/.stamp || $(<"$into/node_modules/.stamp") != "$stamp" ]]; then
  say "npm packages (about 1.4 GB)"
  npm ci --prefix "$into" --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null ||
    die "npm ci failed in $into; its words are above"
  printf '%s\n' "$stamp" >"$into/node_modules/.stamp"
fi
# Servers on the newest SDK and on the one before it can't share an environment.
for pins in modern classic; do
  stamp=$(python3 --version && cksum "$into/$pins.txt")
  venv=$into/.venv/$pins
  [[ -f $venv/.stamp && $(<"$venv/.stamp") == "$stamp" ]] && continue
  say "Python packages ($pins)"
  rm -rf "$venv"
  python3 -m venv --without-pip "$venv" || die "python3 -m venv failed; Debian: apt-get install python3-venv"
  python3 -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check \
    --only-binary=:all: --no-deps --requirement "$into/$pins.txt" ||
    die "pip install failed for $into/$pins.txt; its words are above (pip 22.3 or newer is needed)"
  printf '%s\n' "$stamp" >"$venv/.stamp"
done

if [[ -z ${TOOLSCOUT:-} ]]; then
  cargo build --release --locked --quiet
  TOOLSCOUT=target/release/toolscout
fi
exec python3 tests/matrix/run.py "$TOOLSCOUT" "$@"

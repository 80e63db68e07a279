#!/usr/bin/env bash
# Ten minutes of continuous change: servers whose tools change all the time, on stdio and HTTP, searches
# and lists beside them. Tells what memory did; fails where it grows or an answer is wrong.
# Usage: scripts/soak.sh [--seconds N] [PROGRAM], by default 600 and target/release/toolscout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=600
if [[ ${1-} == --seconds ]]; then
  seconds=$2
  shift 2
fi
exec python3 scripts/soak.py --seconds "$seconds" "${1-target/release/toolscout}"

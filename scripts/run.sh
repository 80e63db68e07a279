#!/usr/bin/env bash
# Everything from a fresh clone to a running demo: build, crawl, serve.
# Arguments go to `toolscout serve`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo >/dev/null || {
  echo "run: cargo is missing: install Rust 1.92 or newer, then run scripts/run.sh again" >&2
  exit 1
}
exec cargo run --release -- serve --demo "$@"

#!/usr/bin/env bash
# A million tools: start, memory, latency and recall (benches/million.rs). Needs 8 GB of memory and 1 GB
# of disk; the catalog is made once and kept in target/million/.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo bench --bench million

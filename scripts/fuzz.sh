#!/usr/bin/env bash
# Feeds the fuzz targets (fuzz/, src/fuzzing.rs) for a while each, on the stable compiler.
# Usage: scripts/fuzz.sh [--seconds N] [TARGET…], by default ten seconds for all of them.
#
# What is found lies in fuzz/found/TARGET: add it to fuzz/seeds/TARGET once it is mended, and the
# unit tests feed it from then on. What was learned of inputs is kept in fuzz/corpus (ignored by
# git). `cargo +nightly fuzz run TARGET` does the same with AddressSanitizer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=10
if [[ ${1-} == --seconds ]]; then
  seconds=$2
  shift 2
fi
targets=("$@")
((${#targets[@]})) || for program in fuzz/targets/*.rs; do
  program=${program##*/}
  targets+=("${program%.rs}")
done

# One build of ours, whose dependencies are those of `cargo build`.
RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/fuzz-rustc.sh CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_OPT_LEVEL=1 \
  CARGO_PROFILE_DEV_DEBUG=0 cargo build --locked --quiet --package toolscout-fuzz --bins --target-dir target
built=target/debug

failed=()
for target in "${targets[@]}"; do
  mkdir -p "fuzz/corpus/$target" "fuzz/found/$target"
  # A text of a megabyte is what a body may have; memory is what one of them may cost.
  if "$built/$target" "fuzz/corpus/$target" "fuzz/seeds/$target" "-artifact_prefix=fuzz/found/$target/" \
    "-max_total_time=$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -verbosity=0 >"fuzz/found/$target.log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "fuzz/found/$target.log")
    printf '%-10s %9s inputs, nothing found\n' "$target" "$runs"
  else
    tail -n 40 "fuzz/found/$target.log"
    failed+=("$target")
  fi
done
((${#failed[@]} == 0)) || { printf 'fuzz: %s failed\n' "${failed[@]}" >&2; exit 1; }

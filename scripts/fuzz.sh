#!/usr/bin/env bash
# Feeds the fuzz targets (fuzz/, src/fuzzing.rs) for a while each, on the stable compiler.
# Usage: scripts/fuzz.sh [--seconds N] [TARGET…], by default ten seconds for all of them.
#
# What is found lies in fuzz/found/TARGET: add it to fuzz/seeds/TARGET once it is mended, and the
# unit tests feed it from then on. What was learned of inputs is kept in fuzz/corpus (ignored by
# git). `cargo +nightly fuzz run TARGET` does the same with AddressSanitizer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v c++ >/dev/null || {
  echo "fuzz: a C++ compiler is missing, which libFuzzer is built with; Debian: apt-get install g++" >&2
  exit 3
}

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

# The dependencies are those of `cargo build`; only our own crates are built with counters.
RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/fuzz-rustc.sh CARGO_INCREMENTAL=0 \
  cargo build --locked --quiet --package toolscout-fuzz --bins

feed() { # TARGET
  local log=fuzz/found/$1.log
  mkdir -p "fuzz/corpus/$1" "fuzz/found/$1"
  # The bound on memory is what one input may cost, the index of the service included.
  if "target/debug/$1" "fuzz/corpus/$1" "fuzz/seeds/$1" "-artifact_prefix=fuzz/found/$1/" \
    "-max_total_time=$seconds" -max_len=16384 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
    -verbosity=0 >"$log" 2>&1; then
    printf '%-10s %9s inputs, nothing found\n' "$1" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  else
    tail -n 40 "$log"
    printf 'fuzz: %s failed\n' "$1" >&2
    return 1
  fi
}
export -f feed
export seconds
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'feed {}'

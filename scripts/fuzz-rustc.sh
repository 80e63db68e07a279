#!/bin/sh
# What scripts/fuzz.sh has cargo call in place of rustc for the crates of this workspace: they alone
# get the counters that libFuzzer steers by, so that their dependencies are those of every other build.
rustc=$1
shift
exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares

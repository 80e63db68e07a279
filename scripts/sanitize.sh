#!/usr/bin/env bash
# The unsafe code (src/index/dense/kernel.rs, src/memory.rs) is watched while its tests run: it reads and
# writes nothing that is not its own.
#
#   scripts/sanitize.sh            under valgrind's memcheck, in the program of the unit tests
#   scripts/sanitize.sh --address  the kernel with AddressSanitizer, as a crate by itself; needs nightly
#
# 3 says that the tool is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
missing() {
  echo "sanitize: $*" >&2
  exit 3
}

case "${1-}" in
  "")
    command -v valgrind >/dev/null || missing "valgrind is missing; Debian: apt-get install valgrind"
    program=$(cargo test --locked --quiet --lib --no-run --message-format=json | python3 -c 'import json, sys
for line in sys.stdin:
    built = json.loads(line)
    if built.get("executable") and built["target"]["name"] == "toolscout": print(built["executable"])')
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    # A case takes fifty times as long there. Without the backtraces of what is meant to fail.
    PROPTEST_CASES=24 RUST_BACKTRACE=0 valgrind --quiet --error-exitcode=9 --track-origins=yes \
      "$program" --test-threads 1 index::dense::kernel index::dense::rows memory:: | tee "$log"
    # What is called otherwise one day must not go unwatched.
    grep -q "kernel::tests::every_way_gives_the_same_numbers ... ok" "$log"
    grep -q "memory::tests::.* ... ok" "$log"
    ;;
  --address)
    cargo +nightly --version >/dev/null 2>&1 || missing "a nightly compiler is missing: rustup toolchain install nightly"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cat >"$work/Cargo.toml" <<END
[package]
name = "kernel"
version = "0.0.0"
edition = "2024"
[lib]
path = "$PWD/src/index/dense/kernel.rs"
[dev-dependencies]
fastrand = "2"
proptest = "1"
END
    RUSTFLAGS=-Zsanitizer=address cargo +nightly test --quiet --manifest-path "$work/Cargo.toml" --lib \
      --target "$(rustc -vV | sed -n 's/^host: //p')"
    ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

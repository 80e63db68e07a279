#!/usr/bin/env bash
# Changes the core in small ways, one at a time, and tells which of them no unit test notices
# (cargo-mutants: cargo install --locked cargo-mutants).
# Usage: scripts/mutants.sh [FILE…], by default the files of the core; SHARD=1/8 takes an eighth of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v cargo-mutants >/dev/null || {
  echo "mutants: cargo-mutants is missing: cargo install --locked cargo-mutants" >&2
  exit 3
}
files=("$@")
((${#files[@]})) || files=(
  src/search/fuse.rs src/search/slots.rs src/index/snapshot.rs src/catalog.rs src/access/view.rs
  src/access/profile.rs src/trust/decide.rs src/trust/policy.rs src/format/schema.rs src/sealed.rs
  src/live/saver.rs src/learn/book.rs
)
arguments=()
for file in "${files[@]}"; do arguments+=(--file "$file"); done
[[ -z ${SHARD-} ]] || arguments+=(--shard "$SHARD")
status=0
# The unit tests alone: each change costs a build of them, and these are the tests that are to notice.
cargo mutants --output target --timeout 120 --copy-target true "${arguments[@]}" -- --lib || status=$?
# 2 says that some were missed: they are listed, and looked at by somebody.
if ((status == 2)); then
  printf '\nmissed:\n'
  cat target/mutants.out/missed.txt
  exit 0
fi
exit "$status"

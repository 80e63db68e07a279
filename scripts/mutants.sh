#!/usr/bin/env bash
# Changes the core in small ways, one at a time, and tells which of them no unit test notices
# (cargo-mutants: cargo install --locked cargo-mutants). docs/mutants.md has what came of it.
# Usage: scripts/mutants.sh [FILE…], by default all of the core; SHARD=0/20 takes every twentieth change
# from the first on, which is the default, SHARD=0/1 all of them.
#
# It works on a copy (target/mutants/core) of the core alone, without the rooms that the core knows
# nothing of. That is built anew in seconds after a change; the whole crate takes minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v cargo-mutants >/dev/null || {
  echo "mutants: cargo-mutants is missing: cargo install --locked cargo-mutants" >&2
  exit 3
}

core=(access catalog format index learn lint search sealed text tool trust)
# What those need to be built.
needed=(auth config demo embed redact)
files=("$@")
((${#files[@]})) || for room in "${core[@]}"; do files+=("src/$room.rs" "src/$room/**"); done
arguments=()
filters=()
for file in "${files[@]}"; do
  arguments+=(--file "$file")
  room=${file#src/}
  room=${room%%[./]*}
  [[ " ${filters[*]} " == *" $room:: "* ]] || filters+=("$room::")
done

copy=target/mutants/core
rm -rf "$copy"
mkdir -p "$copy"
for entry in *; do
  case $entry in
    src | target | Cargo.toml | Cargo.lock) ;;
    *) ln -s "$PWD/$entry" "$copy/$entry" ;;
  esac
done
cp -r --preserve=timestamps src Cargo.lock "$copy"
rm "$copy/src/main.rs"
awk -v rooms=" ${core[*]} ${needed[*]} " '
  /^#\[/ { next }
  /^pub mod / { name = $3; sub(";", "", name); if (!index(rooms, " " name " ")) next }
  { print }' src/lib.rs >"$copy/src/lib.rs"
touch -r src/lib.rs "$copy/src/lib.rs"
# Another version is another crate to cargo, which takes nothing from the one of this repository.
awk '
  /^\[/ { skip = /^\[\[/ }
  skip { next }
  /^version = / && !seen++ { sub(/"$/, "+core\"") }
  /^members = / { $0 = "members = []" }
  { print }
  /^publish = / { print "autotests = false\nautobenches = false\nautoexamples = false" }' Cargo.toml >"$copy/Cargo.toml"

# Nothing is fetched that the lock file does not have.
export CARGO_TARGET_DIR=$PWD/target CARGO_NET_OFFLINE=true
found=$PWD/target/mutants
try() { # ARGUMENT…
  (cd "$copy" && cargo mutants --in-place --output "$found" --cargo-arg=--lib "${arguments[@]}" "$@")
}
status=0
# The tests of the changed rooms first, and all of the core's for what those let through.
try --sharding round-robin --shard "${SHARD-0/20}" -- -- "${filters[@]}" || status=$?
if ((status == 2)); then
  status=0
  while IFS= read -r change; do
    arguments+=(--re "^$(sed 's/[][\.*^$()+?{}|&]/\\&/g' <<<"$change")\$")
  done <"$found/mutants.out/missed.txt"
  try || status=$?
fi
# 2 says that some were missed, 3 that some never ended: they are listed, and looked at by somebody.
if ((status == 2 || status == 3)); then
  printf '\nmissed or endless:\n'
  cat "$found/mutants.out/missed.txt" "$found/mutants.out/timeout.txt"
  exit 0
fi
exit "$status"

#!/usr/bin/env bash
# Everything the image holds, laid out in one new folder: program, model, runtime, licences and an
# empty data folder. The Dockerfile calls this and copies the result; it needs no Docker itself.
# Usage: scripts/build-image.sh [DEST], by default dist/
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dest=${1:-$root/dist}

if [[ -e $dest && -n $(ls -A "$dest") ]]; then
  echo "image: $dest is not empty: name a new folder, or remove it first" >&2
  exit 1
fi
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
cd "$root"

# An image must not degrade unseen: without the encoder there is no image.
scripts/fetch.sh
cargo build --release --locked
target=$(cargo metadata --format-version 1 --no-deps --locked |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')

mkdir -p "$dest/bin" "$dest/data"
install -m 755 "$target/release/toolscout" "$dest/bin/toolscout"
install -m 755 scripts/healthy.sh "$dest/bin/healthy"
cp -R index-data/cache/model "$dest/model"
cp -R index-data/cache/runtime "$dest/runtime"
cp LICENSE-APACHE LICENSE-MIT "$dest/"
echo "image: laid out in $dest ($(du -sh "$dest" | cut -f1))"

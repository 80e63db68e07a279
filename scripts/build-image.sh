#!/usr/bin/env bash
# Everything the image holds, laid out in one new folder: the program with its encoder, licences
# and an empty data folder. The Dockerfile calls this and copies the result; it needs no Docker
# itself.
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

cargo build --release --locked
target=$(cargo metadata --format-version 1 --no-deps --locked |
  sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

mkdir -p "$dest/bin" "$dest/data"
# Without what only a debugger reads: 65 MB in place of 222.
install -m 755 "$target/release/toolscout" "$dest/bin/toolscout"
strip --strip-debug "$dest/bin/toolscout"
install -m 755 scripts/healthy.sh "$dest/bin/healthy"
cp LICENSE-APACHE LICENSE-MIT "$dest/"
# What the encoder in the program is made from, with the attribution that its licence asks for.
cp index-data/models/scout/README.md "$dest/scout.md"
echo "image: laid out in $dest ($(du -sh "$dest" | cut -f1))"

#!/usr/bin/env bash
# What a release consists of, in one folder: an archive with the program, a bill of materials
# (CycloneDX) of everything that is linked into it, and checksums. The release workflow runs it on
# each platform; scripts/test-long.sh runs it here.
#
# The program is linked against the C library alone, and the oldest that will do is told at the end:
# to support old systems, build on one. It is not linked statically (musl): a static program can't
# load ONNX Runtime, which `toolscout model pull minilm` fetches.
# Usage: scripts/release.sh [--target TRIPLE] [DEST], by default for this machine, into dist/release
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=$(rustc -vV | sed -n 's/^host: //p')
cyclonedx=0.5.9

while [[ ${1-} == -* ]]; do
  case $1 in
    --target) target=${2:?--target wants a TRIPLE}; shift 2 ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
dest=${1:-$root/dist/release}
if [[ -e $dest && -n $(ls -A "$dest") ]]; then
  echo "release: $dest is not empty: name a new folder, or remove it first" >&2
  exit 1
fi
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
cd "$root"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=toolscout-$version-$target
# Archives of the same commit are the same.
when=$(git log -1 --format=%ct 2>/dev/null || echo 0)

cargo build --release --locked --target "$target"
folders=$(cargo metadata --format-version 1 --no-deps --locked |
  sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
program=$folders/$target/release/toolscout

into=$work/$name
mkdir -p "$into/docs"
install -m 755 "$program" "$into/toolscout"
strip --strip-debug "$into/toolscout"
cp LICENSE-APACHE LICENSE-MIT README.md CHANGELOG.md SECURITY.md "$into/"
cp docs/*.md "$into/docs/"
cp -r deploy "$into/deploy"
# What the encoder in the program is made from, with the attribution that its licence asks for.
cp index-data/models/scout/README.md "$into/scout.md"
tar --sort=name --mtime="@$when" --owner=0 --group=0 --numeric-owner -C "$work" -cf - "$name" |
  gzip -9n >"$dest/$name.tar.gz"

# Of what is linked for this platform, by the lock file.
tools=$root/tests/.cache/cargo
if ! PATH=$tools/bin:$PATH command -v cargo-cyclonedx >/dev/null; then
  cargo install --locked --quiet --root "$tools" "cargo-cyclonedx@$cyclonedx"
fi
PATH=$tools/bin:$PATH SOURCE_DATE_EPOCH=$when cargo cyclonedx --quiet --format json \
  --target "$target" --no-build-deps --override-filename "$name.cdx"
mv "$name.cdx.json" "$dest/"
# It describes the other packages of this repository as well.
rm -f -- */"$name.cdx.json"

(cd "$dest" && sha256sum -- *.tar.gz *.json >SHA256SUMS)
cat "$dest/SHA256SUMS"
if command -v readelf >/dev/null; then
  needs() { readelf -W "$@" "$program"; }
  glibc=$(needs --version-info | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1)
  libraries=$(needs --dynamic | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | paste -sd' ')
  echo "release: $name wants ${glibc/_/ } or newer; it loads $libraries"
fi

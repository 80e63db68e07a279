#!/usr/bin/env bash
# Runs the build stage of the Dockerfile without Docker: a new Debian (debootstrap), this machine's
# Rust toolchain in it, the files that .dockerignore lets through, and scripts/build-image.sh.
# So it shows what the image needs and this machine happened to have. Crates come from the registry
# that cargo is set to here, or from its cache. Must run as root.
# Usage: scripts/clean-root.sh DEST    DEST becomes what the image holds below /opt/toolscout
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dest=${1:?usage: scripts/clean-root.sh DEST}
# As in the Dockerfile's FROM, and what that image has beside Debian's base.
suite=bookworm
packages=ca-certificates,gcc,libc6-dev

die() {
  echo "clean-root: $*" >&2
  exit 1
}
[[ $(id -u) == 0 ]] || die "run it as root: debootstrap and chroot want that"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
[[ ! -e $dest ]] || die "$dest is there already: name a new folder"
cd "$root"

work=$(mktemp -d)
mounted=()
cleanup() {
  local at
  for at in "${mounted[@]}"; do umount --lazy "$at"; done
  # What is still mounted is not ours to remove.
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT
clean=$work/root

# The mirror that this machine's apt asks.
mirror=$(apt-get indextargets --format '$(SITE)' "Codename: $suite" 2>/dev/null | head -n 1)
debootstrap --variant=minbase --include="$packages" "$suite" "$clean" \
  ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 || {
  tail -n 20 "$work/debootstrap.log" >&2
  die "debootstrap failed"
}

scripts/build-context.sh "$clean/src"

toolchain=$(rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
bind() { # FROM TO
  mkdir -p "$clean$2"
  mount --bind "$1" "$clean$2"
  mounted+=("$clean$2")
}
bind "$toolchain" /opt/rust
bind "$cargo_home/registry" /opt/cargo/registry
for file in config.toml config; do
  [[ -f $cargo_home/$file ]] && cp "$cargo_home/$file" "$clean/opt/cargo/"
done
cp /etc/resolv.conf "$clean/etc/"
[[ -d /usr/local/share/ca-certificates ]] && cp -r /usr/local/share/ca-certificates "$clean/usr/local/share/" &&
  chroot "$clean" update-ca-certificates >/dev/null 2>&1
mount -t proc proc "$clean/proc"
mounted+=("$clean/proc")

variables=("HOME=/root" "PATH=/opt/rust/bin:/usr/bin:/bin" "CARGO_HOME=/opt/cargo")
for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
  [[ -n ${!name-} ]] && variables+=("$name=${!name}")
done
chroot "$clean" env -i "${variables[@]}" CARGO_NET_RETRY=10 \
  bash -c 'cd /src && nice scripts/build-image.sh /dist'
mkdir -p "$(dirname "$dest")"
cp -r "$clean/dist" "$dest"
echo "clean-root: built in a new $suite: $dest"

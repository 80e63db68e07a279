# Part of scripts/postgres.sh: which programs there are, and how they are run.
# shellcheck shell=bash disable=SC2154

# Packages are asked for by their programs: FOUND is a command that succeeds where they are there.
need() { # FOUND PACKAGE…
  local found=$1
  shift
  eval "$found" >/dev/null 2>&1 && return
  if [[ $system == yes ]]; then
    say "installing $*"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"; } >&2
  fi
  eval "$found" >/dev/null 2>&1 || { say "$* is missing; Debian: apt-get install $*" && exit 3; }
}

# PostgreSQL does not run as root, so there it is nobody, who may read what lies in root's folders.
as_owner() { # COMMAND…
  local run=()
  [[ $EUID != 0 ]] || run=(setpriv --reuid 65534 --regid 65534 --clear-groups)
  [[ $EUID != 0 ]] || "${run[@]}" test -x "$data" || run+=(--inh-caps +dac_read_search --ambient-caps +dac_read_search)
  (cd / && exec env LC_ALL=C "${run[@]}" "$@" 9<&-)
}

# A program of the server's: a chroot shows the folder under its own path, in a mount namespace that
# ends with the last process in it.
pg() { # PROGRAM ARGUMENT…
  local program=$bin/$1
  shift
  if [[ $bin == /chroot/* ]]; then
    # shellcheck disable=SC2016
    (cd / && exec unshare --mount --propagation private bash -c '
      root=$1 data=$2; shift 2
      mkdir -p "$root$data" && mount --bind "$data" "$root$data"
      mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev"
      exec chroot --userspec=65534:65534 --groups= "$root" env LC_ALL=C "$@"' - "$chroot" "$data" "${program#/chroot}" "$@" 9<&-)
  else
    as_owner "$program" "$@"
  fi
}

# Debian's next release has both extensions.
make_chroot() {
  [[ $EUID == 0 ]] || die "--debian must run as root: debootstrap and chroot want that"
  chroot=$root/target/postgres/forky
  mkdir -p "${chroot%/*}"
  (
    flock 8
    [[ ! -e $chroot/usr/lib/postgresql/18/bin/postgres ]] || exit 0
    need "command -v debootstrap" debootstrap
    say "making $chroot: some minutes, 0.7 GB"
    rm -rf --one-file-system "$chroot" "$chroot.new"
    # The mirror that this machine's apt asks.
    mirror=$(. /etc/os-release && apt-get indextargets --format '$(SITE)' "Codename: $VERSION_CODENAME" 2>/dev/null | head -n 1)
    {
      debootstrap --variant=minbase forky "$chroot.new" ${mirror:+"$mirror"} /usr/share/debootstrap/scripts/trixie
      printf '#!/bin/sh\nexit 101\n' >"$chroot.new/usr/sbin/policy-rc.d"
      chmod +x "$chroot.new/usr/sbin/policy-rc.d"
      unshare --mount --propagation private bash -c '
        mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev"
        exec chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
          postgresql-18 postgresql-18-pgvector postgresql-18-pg-textsearch' - "$chroot.new"
    } >"$chroot.log" 2>&1 || { tail -n 20 "$chroot.log" >&2; die "the chroot was not made; all its words are in $chroot.log"; }
    mv "$chroot.new" "$chroot"
  ) 8>"$chroot.lock"
}

# The newest that is installed, 15 at least: Debian's, else what pg_config knows.
installed() {
  local at found=
  for at in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -Vr) "$(pg_config --bindir 2>/dev/null)"; do
    [[ -x $at/initdb && $("$at/postgres" --version) =~ \ (1[5-9]|[2-9][0-9])(\.|[a-z]) ]] && found=${found:-$at}
  done
  [[ -n $found ]] && echo "$found"
}

# Where the server's programs are.
find_programs() {
  if [[ $kind == shared ]]; then
    need installed postgresql
    bin=$(installed)
  elif [[ $debian == yes || -e $data/debian ]]; then
    make_chroot
    bin=/chroot/usr/lib/postgresql/18/bin
  else
    need "python3 -m pip --version" python3 python3-pip
    "$root/scripts/fetch-test-peers.sh" tests/postgres >&2
    bin=$(echo "$root"/tests/postgres/.venv/lib/python3*/site-packages/pgserver/pginstall/bin)
  fi
}

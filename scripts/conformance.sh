#!/usr/bin/env bash
# Runs the auth scenarios of the MCP conformance suite with toolscout as the client
# (tests/conformance). Those in expected-failures.yml must fail, all others pass.
# Usage: scripts/conformance.sh PROGRAM [SCENARIO…]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=$(realpath "${1:?usage: scripts/conformance.sh PROGRAM [SCENARIO…]}")
shift
suite=tests/conformance/node_modules
scripts/fetch-test-peers.sh
# It wants Node.js 22 or newer, which is installed beside it.
for own in "$PWD/$suite"/node-linux-*/bin; do PATH="$own:$PATH"; done
PATH="$PWD/$suite/.bin:$PATH"
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

#!/usr/bin/env bash
# Finds the tools that fit a need, and calls one, with nothing but curl.
# Usage: plain_http.sh NEED [ID ARGUMENTS]
#   plain_http.sh "refund a card payment"
#   plain_http.sh "refund a card payment" payments/list_disputes '{"limit": 3}'
set -euo pipefail
toolscout=${TOOLSCOUT_URL:-http://127.0.0.1:7420}

# Ids, one line each; format=signatures has their parameters, none the whole definitions.
curl --fail-with-body --silent --show-error --get "$toolscout/v1/search" \
  --data-urlencode "q=$1" --data format=signatures
(($# > 1)) || exit 0
echo

# Needs `[call] enabled = true` in toolscout.toml.
curl --fail-with-body --silent --show-error "$toolscout/v1/call" \
  --header "Content-Type: application/json" --data "{\"id\": \"$2\", \"arguments\": $3}"

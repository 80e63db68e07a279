#!/usr/bin/env bash
# Holds two rules of the house:
# - tool, catalog, text, index, access, search, format, learn, lint and activity are synchronous: they import no async or
#   network crate, and nothing that lies behind them on the way through (ARCHITECTURE.md);
# - no file of src/ has more than 500 lines.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

status=0
names='tokio|tokio_util|futures|axum|hyper|tower|tower_http|rmcp|reqwest|cli|crawl|hub|live|serve'
for room in tool catalog text index access search format learn lint activity; do
  files=()
  [[ -f src/$room.rs ]] && files+=("src/$room.rs")
  [[ -d src/$room ]] && files+=("src/$room")
  ((${#files[@]})) || continue
  # A path that starts with such a name, or a `use` of it; comments may speak of anything.
  if grep -HrnE --include='*.rs' \
    "(^|[^[:alnum:]_])($names)::|use ($names)([ ;]|$)|crate::($names)([^[:alnum:]_]|$)" "${files[@]}" |
    grep -vE '^[^:]+:[0-9]+:[[:space:]]*//'; then
    echo "layers: src/$room must stay synchronous and import none of the above" >&2
    status=1
  fi
done

while read -r lines file; do
  ((lines <= 500)) || {
    echo "layers: $file has $lines lines; 500 is the most: split it by what its parts do" >&2
    status=1
  }
done < <(find src -name '*.rs' -exec wc -l {} \; )

((status)) || echo "layers: hold"
exit "$status"

#!/usr/bin/env bash
# Scores every benchmark set in every arm with the shipped defaults, and prints the README's table.
#
#   scripts/eval.sh [--runs DIR] [--model MODEL] [SET ...]
#
# The sets are looked for in $TOOLSCOUT_BENCHMARKS (default ../shared/benchmarks); one that is not
# there is named and left out. With --runs the rankings are kept, for `toolscout eval --against`
# and for other scorers. With --model another encoder than the default embeds: `toolscout model
# list` names those that are here. The first run with a transformer takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
benchmarks="${TOOLSCOUT_BENCHMARKS:-../shared/benchmarks}"
runs=""
encoder=()
while [[ "${1:-}" == --* ]]; do
    case "$1" in
        --runs) runs="${2:?--runs wants a folder}" && mkdir -p "$runs" ;;
        --model) encoder=(--model "${2:?--model wants a name or a folder}") ;;
        *) echo "eval: unknown option $1" >&2 && exit 2 ;;
    esac
    shift 2
done

cargo build --release --quiet
binary="${CARGO_TARGET_DIR:-target}/release/toolscout"
results="$(mktemp -d)"
trap 'rm -rf "$results"' EXIT

# One arm of one set: NAME ARM CATALOG QUERIES [SERVERS]
score() {
    local name="$1" arm="$2" catalog="$3" queries="$4" servers="${5:-}"
    local arguments=(--catalog "$catalog" --queries "$queries" --arm "$arm" --json "${encoder[@]}")
    [[ -n "$servers" ]] && arguments+=(--servers "$servers")
    [[ -n "$runs" ]] && arguments+=(--run "$runs/$name.$arm.jsonl")
    "$binary" eval "${arguments[@]}" >"$results/$name.$arm.json"
}

# One set in every arm: NAME CATALOG QUERIES [SERVERS]
set_of() {
    local name="$1"
    if [[ ${#wanted[@]} -gt 0 && " ${wanted[*]} " != *" $name "* ]]; then
        return
    fi
    if [[ ! -e "$2" || ! -e "$3" ]]; then
        echo "$name: not in $benchmarks, left out" >&2
        return
    fi
    for arm in lexical dense hybrid; do
        echo "$name $arm" >&2
        score "$name" "$arm" "${@:2}"
    done
}

wanted=("$@")
b="$benchmarks"
set_of livemcpbench "$b/livemcpbench/catalog.jsonl" "$b/livemcpbench/queries.jsonl" "$b/livemcpbench/servers.jsonl"
set_of smithery-mcp "$b/smithery-mcp/catalog.jsonl.gz" "$b/smithery-mcp/queries.jsonl" "$b/smithery-mcp/servers.jsonl"
set_of metatool "$b/metatool/catalog.jsonl" "$b/metatool/queries.jsonl"
set_of two-tool "$b/metatool/catalog.jsonl" "$b/metatool/queries_multi.jsonl"
set_of sealtools "$b/sealtools/catalog.jsonl" "$b/sealtools/queries.jsonl"
set_of stabletoolbench "$b/stabletoolbench/catalog.jsonl" "$b/stabletoolbench/queries.jsonl"
set_of real-servers "$b/real-servers/catalog.jsonl.gz" "$b/real-servers/queries.jsonl" "$b/real-servers/servers.jsonl"
python3 scripts/eval_table.py "$results"

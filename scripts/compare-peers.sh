#!/usr/bin/env bash
# Measures toolscout beside FastMCP's BM25SearchTransform and ratel-ai on the same catalogs and
# queries, one system at a time: CPU of a query, memory, CPU of the build and R@5 (scripts/peers/
# table.py tells how, below the table). Not measured: queries at once, changing catalogs, networks.
# toolscout ranks by words and vectors and reads titles and descriptions of servers; the peers have
# the servers' names in the tools' names.
#
#   scripts/compare-peers.sh                              # everything: some minutes
#   scripts/compare-peers.sh --queries 20 livemcpbench    # at most 20 queries (100) of one set
#   TOOLSCOUT_BIN=./toolscout scripts/compare-peers.sh --hybrid livemcpbench
#
# The sets, livemcpbench, sealtools and smithery-mcp, are looked for in $TOOLSCOUT_BENCHMARKS
# (../shared/benchmarks). $TOOLSCOUT_BIN is the program; without it, that of `cargo build
# --release`, built when absent. --hybrid adds ratel-ai with MiniLM (84 MB) on livemcpbench: it
# embeds for minutes. (The default model of its hybrid search would come from a model hub.)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
peers=$root/scripts/peers venv=$root/target/peers
say() { printf 'compare-peers: %s\n' "$*" >&2; }
die() { say "$2" && exit "$1"; }

most=100 hybrid='' sets=()
while (($#)); do
  case $1 in
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0 ;;
    --queries)
      [[ ${2-} =~ ^[1-9][0-9]*$ ]] || die 2 "--queries wants a number, 1 or more"
      most=$2 && shift
      ;;
    --hybrid) hybrid=yes ;;
    livemcpbench | sealtools | smithery-mcp) sets+=("$1") ;;
    *) die 2 "unknown option or set $1: see scripts/compare-peers.sh --help" ;;
  esac
  shift
done
((${#sets[@]})) || sets=(livemcpbench sealtools smithery-mcp)
benchmarks=${TOOLSCOUT_BENCHMARKS:-$root/../shared/benchmarks}
[[ -d $benchmarks ]] || die 1 "no folder $benchmarks: set TOOLSCOUT_BENCHMARKS to the one with the sets"
[[ -r /proc/self/stat ]] || die 1 "CPU time and memory are read from /proc, which is not here"
built=$(cd "$root" && realpath -m "${CARGO_TARGET_DIR:-target}/release/toolscout")
[[ -n ${TOOLSCOUT_BIN-} || -x $built ]] || (cd "$root" && cargo build --release --locked)
program=$(realpath -m "${TOOLSCOUT_BIN:-$built}")
[[ -x $program ]] || die 1 "no program $program: TOOLSCOUT_BIN names none"
"$peers/install.sh" "$venv" ${hybrid:+--hybrid}

work=$(mktemp -d) child=''
trap '[[ -z $child ]] || { kill "$child" && wait "$child"; } 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export RAYON_NUM_THREADS=1 # one thread each

measure() { # SYSTEM FILE ARGUMENT…: in the background, or a signal would wait until it is done
  say "$set: $1"
  "$venv/bin/python" -B "$peers/$2" "${@:3}" >>"$work/rows" &
  child=$!
  wait "$child" || die 1 "$1 failed on $set; its words are above"
  child=''
}

for set in "${sets[@]}"; do
  folder=$benchmarks/$set
  catalog=$folder/catalog.jsonl queries=$folder/queries.jsonl servers=$folder/servers.jsonl
  [[ -e $catalog ]] || catalog=$catalog.gz
  [[ -e $catalog && -e $queries ]] || { say "$set: not in $benchmarks, left out" && continue; }
  [[ -e $servers ]] || servers=''
  measure toolscout service.py "$program" "$set" "$catalog" "$queries" "$most" ${servers:+"$servers"}
  measure ratel libraries.py ratel "$set" "$catalog" "$queries" "$most"
  measure fastmcp libraries.py fastmcp "$set" "$catalog" "$queries" "$most"
  [[ $hybrid && $set == livemcpbench ]] || continue
  measure ratel-hybrid libraries.py ratel-hybrid "$set" "$catalog" "$queries" "$most" \
    "$venv"/lib/python3*/site-packages/gt_*/model
done
[[ -s $work/rows ]] || die 1 "none of the sets is in $benchmarks"
"$venv/bin/python" -B "$peers/table.py" "$work/rows"

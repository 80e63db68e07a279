#!/usr/bin/env bash
# Latency of `GET /v1/search` under an open-loop load, at rest and while the catalog changes.
#
#   scripts/load.sh [--seconds N] [--rates A,B,C] [--url URL] [--picture FILE]
#   scripts/load.sh --overload [--seconds N] [--connections N] [--url URL]
#
#   --seconds N      length of each of the four runs (30)
#   --rates A,B,C    requests a second of 1, 8 and 64 clients (50,50,100)
#   --url URL        a server that runs already; else one is started, and ended after
#   --picture FILE   where the picture goes (docs/latency.svg); raw figures: target/load/
#   --overload       what is left at ten times the capacity, and how soon all is well again, instead:
#                    scripts/overload.py says how that is measured. Server and clients get half of
#                    the cores each, so that the one does not take from the other
#   --connections N  of the clients then, each with one request at a time (512)
#
#   scripts/load.sh --seconds 5 --picture /dev/null  a quick look
#   scripts/load.sh --rates 100,200,300              closer to where the machine is full
#   TOOLSCOUT_BIN=old/toolscout scripts/load.sh      another program than the release build
#
# Measured: from when a request was due, whether or not a connection was free for it, to the end of
# its answer, with HTTP, JSON and loopback: a slow answer makes none after it late (no coordinated
# omission). Queries and catalog are those of the benchmark sets in $TOOLSCOUT_BENCHMARKS (default
# ../shared/benchmarks), or of the demo where there are none. In the last run a server of 200 tools
# changes twice a second, and is read again each second: the whole index is made anew, at its pace.
#
# Not measured: a network, TLS, MCP, bursts (requests are evenly spaced), or the server alone: the
# generator (oha) shares its cores, and the delay of one that gets no core is nobody's. The sample
# of queries is seeded, their order is not. RSS, and CPU of all cores, are of a server started here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
oha_version=1.16.0
benchmarks=${TOOLSCOUT_BENCHMARKS:-../shared/benchmarks}

say() { printf 'load: %s\n' "$*" >&2; }
die() { say "$*" && exit 1; }
usage() { say "$*; see scripts/load.sh --help" && exit 2; }

seconds=30 rates=50,50,100 url='' picture=docs/latency.svg overload='' connections=512
while (($#)); do
  case $1 in
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0 ;;
    --overload) overload=1 && shift ;;
    --seconds | --rates | --url | --picture | --connections)
      [[ -n ${2-} ]] || usage "$1 wants a value"
      printf -v "${1#--}" %s "$2" && shift 2
      ;;
    *) usage "unknown option $1" ;;
  esac
done
[[ $seconds =~ ^[1-9][0-9]{0,3}$ ]] || usage "--seconds is $seconds, it must be a whole number, 1 to 9999"
[[ $rates =~ ^([1-9][0-9]{0,5},){2}[1-9][0-9]{0,5}$ ]] || usage "--rates is $rates, it must be like 50,50,100"
[[ -z $url || $url =~ ^https?://. ]] || usage "--url is $url, it must begin with http:// or https://"
[[ $connections =~ ^[1-9][0-9]{1,3}$ && $connections -ge 64 ]] || usage "--connections is $connections, it must be 64 to 9999"
IFS=, read -r rate1 rate8 rate64 <<<"$rates"

for need in cargo curl python3; do
  command -v "$need" >/dev/null || die "$need is missing: install it, then run scripts/load.sh again"
done
binary=${TOOLSCOUT_BIN:-${CARGO_TARGET_DIR:-target}/release/toolscout}
[[ -n $url || -n ${TOOLSCOUT_BIN-} || -x $binary ]] || cargo build --release --locked
oha=target/tools/bin/oha
cores=$(getconf _NPROCESSORS_ONLN)
ours=() theirs=()
if [[ -n $overload ]] && ((cores > 1)) && command -v taskset >/dev/null; then
  ours=(taskset -c "0-$((cores / 2 - 1))") theirs=(taskset -c "$((cores / 2))-$((cores - 1))")
fi
[[ -n $overload || $("$oha" --version 2>/dev/null) == "oha $oha_version" ]] || {
  say "installing oha $oha_version, the load generator, into target/tools: minutes, this once"
  cargo install --locked --quiet --root target/tools oha --version "$oha_version"
}

work=$(mktemp -d)
cleanup() {
  jobs -p | xargs -r kill 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT && trap 'exit 143' TERM

queries=() lines=0
for name in livemcpbench smithery-mcp metatool sealtools stabletoolbench; do
  for catalog in "$benchmarks/$name"/catalog.jsonl*; do
    [[ -e $catalog ]] || continue
    printf "[servers.%s]\ncatalog = '%s'\n" "$name" "$(realpath "$catalog")"
    servers=$benchmarks/$name/servers.jsonl
    [[ ! -e $servers ]] || printf "catalog_servers = '%s'\n" "$(realpath "$servers")"
    queries+=("$benchmarks/$name/queries.jsonl")
    [[ -n $url ]] || lines=$((lines + $(gzip -cdf "$catalog" | wc -l)))
  done
done >"$work/toolscout.toml"
printf "[servers.changing]\ncatalog = 'changing.jsonl'\nrefresh = '1s'\n" >>"$work/toolscout.toml"
demo=() from="${#queries[@]} benchmark sets"
((${#queries[@]})) || {
  say "no benchmark sets in $benchmarks: the demo and its queries instead"
  demo=(--demo) from="the demo" queries=(index-data/demo/queries.jsonl)
}
change() { # EDITION: the changing server, with another description of its first tool
  for ((tool = 0; tool < 200; tool++)); do
    printf '{"server":"changing","name":"report_%d","description":"Report %d, edition %d"}\n' \
      "$tool" "$tool" $((tool ? 0 : $1))
  done >"$work/new"
  mv "$work/new" "$work/changing.jsonl"
}
change 0

ask() { curl --silent --fail --noproxy '*' --max-time 10 "${url%/}$1"; }
number() { ask /v1/status | grep -o "\"$1\":[0-9]*" | cut -d: -f2; }
server=''
if [[ -z $url ]]; then
  "${ours[@]}" "$binary" serve --config "$work/toolscout.toml" --data "$work/data" --listen 127.0.0.1:0 \
    "${demo[@]}" >"$work/out" 2>"$work/log" &
  server=$!
  until url=$(grep -so 'http://[^ ]*' "$work/out") && ask /readyz >/dev/null; do
    kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2 && die "the server ended; its log is above"; }
    sleep 0.2
  done
fi
ask /readyz >/dev/null || die "$url/readyz does not answer with 200"
# Ready comes with the first servers. About all: an id may be there twice.
tools=-1
for ((tries = 0; tries < 100; tries++)); do
  before=$tools tools=$(number total)
  ((tools != before || tools < lines * 99 / 100)) || break
  sleep 3
done
((tries < 100)) || die "after five minutes the index has $tools of about $lines tools"
python3 scripts/load_picture.py sample "${url%/}" "${queries[@]}" >"$work/urls"
conditions="$tools tools, $(grep -c . "$work/urls") queries of $from, $cores cores, $seconds s a run"
say "$conditions"
if [[ -n $overload ]]; then
  "${theirs[@]}" python3 scripts/overload.py "$work/urls" "$seconds" "$connections" &
  wait $!
  exit
fi
echo "{\"conditions\":\"$conditions\",\"cores\":$cores,\"ticks\":$(getconf CLK_TCK)}" >"$work/runs.jsonl"

now() { # microseconds, the server's CPU ticks and kB of memory, and the generation, as JSON
  local ticks=null memory=null
  [[ -z $server || ! -e /proc/$server/stat ]] || {
    ticks=$(awk '{print $14 + $15}' "/proc/$server/stat")
    memory=$(awk '/^VmRSS/ {print $2}' "/proc/$server/status")
  }
  echo "[${EPOCHREALTIME/[.,]/},$ticks,$memory,$(number generation)]"
}
run() { # NAME CLIENTS RATE SECONDS
  local before count=$(($3 * $4))
  say "$1: $3 requests/s for $4 s"
  before=$(now)
  # A count, not a duration: at the end of one oha forgets the requests that still wait, the slowest.
  "$oha" --no-tui --output-format csv --output "$work/$1.csv" --latency-correction \
    --urls-from-file -c "$2" -q "$3" -n "$count" "$work/urls" &
  wait $! # and not in the foreground, where a signal to this script alone would wait for it
  echo "{\"name\":\"$1\",\"rate\":$3,\"count\":$count,\"before\":$before,\"after\":$(now)}" >>"$work/runs.jsonl"
}
run warm-up 8 "$rate8" 2
run "1 client" 1 "$rate1" "$seconds"
run "8 clients" 8 "$rate8" "$seconds"
run "64 clients" 64 "$rate64" "$seconds"
if [[ -n $server ]]; then
  for ((edition = 1; ; edition++)); do change "$edition" && sleep 0.5; done 2>/dev/null &
  run "8 clients, changes" 8 "$rate8" "$seconds"
fi
rm -rf target/load && mkdir -p target/load
mv "$work"/*.csv "$work/runs.jsonl" target/load/
python3 scripts/load_picture.py draw target/load "$picture"

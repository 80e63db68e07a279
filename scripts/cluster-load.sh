#!/usr/bin/env bash
# Replicas behind a load balancer: throughput, one that is killed under load, and how long a change
# takes to all of them.
#
#   scripts/cluster-load.sh [--seconds N] [--replicas N] [--connections N] [--system] [PROGRAM]
#
#   --seconds N      length of each run (10)
#   --replicas N     behind the balancer (3)
#   --connections N  of the clients (16)
#   --system         haproxy and PostgreSQL may be installed with apt-get
#   PROGRAM          another than target/release/toolscout
#
# Real parts: PostgreSQL (scripts/postgres.sh, durable), haproxy, and `toolscout serve` as processes; the
# catalog is that of the benchmark sets in $TOOLSCOUT_BENCHMARKS (default ../shared/benchmarks), or the
# demo's, beside eight servers whose tools change each second.
#
# Not measured: more than one machine. Replicas, balancer, database and clients share the cores, so three
# replicas answer no more than one here: it shows what the balancer and the others cost, what a death
# costs, and how soon all know of a change.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=10 replicas=3 connections=16 system=() program=
say() { printf 'cluster-load: %s\n' "$*" >&2; }
die() { say "$*" && exit 1; }
while (($#)); do
  case $1 in
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0 ;;
    --system) system=(--system) ;;
    --seconds | --replicas | --connections)
      [[ ${2-} =~ ^[1-9][0-9]{0,3}$ ]] || die "$1 wants a whole number above 0"
      printf -v "${1#--}" %s "$2" && shift
      ;;
    -*) die "unknown option $1; see scripts/cluster-load.sh --help" ;;
    *) program=$1 ;;
  esac
  shift
done

PATH=$PATH:/usr/sbin
if ! command -v haproxy >/dev/null; then
  ((${#system[@]})) || die "haproxy is missing; Debian: apt-get install haproxy, or run this with --system"
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends haproxy >/dev/null
fi
oha=target/tools/bin/oha
[[ -x $oha ]] || cargo install --locked --quiet --root target/tools oha --version 1.16.0
[[ -n $program || -x target/release/toolscout ]] || cargo build --release --locked

work=$(mktemp -d)
cleanup() {
  scripts/postgres.sh shared down --data "$work/postgres" >/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT && trap 'exit 143' TERM
database=$(scripts/postgres.sh shared up --data "$work/postgres" --for $$ "${system[@]}")
python3 scripts/cluster_load.py --seconds "$seconds" --replicas "$replicas" --connections "$connections" \
  --database "$database" --benchmarks "${TOOLSCOUT_BENCHMARKS:-../shared/benchmarks}" --oha "$oha" \
  "${program:-target/release/toolscout}" &
wait $!

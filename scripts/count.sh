#!/usr/bin/env bash
# A gate without clocks: counts the instructions of the core on fixed inputs (benches/count.rs) under
# callgrind and compares them with benches/counts.txt.
#
#   scripts/count.sh            fails (1) if a part takes 3 % more than it did
#   scripts/count.sh --accept   writes the new counts
#
# Needs valgrind (3 says that it is missing). The build shares its dependencies with the tests: only
# this package is built with optimisations, so the numbers are near the release's, not the same.
set -euo pipefail
cd "$(dirname "$0")/.."
tolerance=3 # percent
counts=benches/counts.txt
case "${1-}" in
  "" | --accept) ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
command -v valgrind >/dev/null || {
  echo "count: valgrind is missing; Debian: apt-get install valgrind" >&2
  exit 3
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_OPT_LEVEL=3 CARGO_PROFILE_DEV_CODEGEN_UNITS=1 \
  CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false CARGO_PROFILE_DEV_OVERFLOW_CHECKS=false
program=$(cargo bench --locked --quiet --profile dev --bench count --no-run --message-format=json |
  python3 -c 'import json, sys
for line in sys.stdin:
    built = json.loads(line)
    if built.get("executable") and built["target"]["name"] == "count": print(built["executable"])')

# One part a run, since callgrind adds up all that it counts.
for part in embed lexical dense fuse whole filtered update note; do
  RAYON_NUM_THREADS=1 valgrind --tool=callgrind --callgrind-out-file=/dev/null \
    --toggle-collect='*count::measured*' "$program" "$part" >"$work/log" 2>&1 ||
    { cat "$work/log" >&2 && exit 1; }
  printf '%s %s\n' "$part" "$(sed -n 's/.*Collected : //p' "$work/log")"
done >"$work/counts"

if [[ ${1-} == --accept ]]; then
  { echo "# Instructions of each part of benches/count.rs; scripts/count.sh --accept writes this."
    cat "$work/counts"; } >"$counts"
  cat "$counts"
  exit
fi
awk -v most=$tolerance '
  /^#/ { next }
  FNR == NR { before[$1] = $2; next }
  {
    change = before[$1] ? 100 * ($2 - before[$1]) / before[$1] : 0
    verdict = before[$1] == "" ? "new: scripts/count.sh --accept" : change > most ? "TOO MANY" : change < -most ? "fewer: --accept keeps them" : ""
    printf "%-10s %12d %+7.2f %%  %s\n", $1, $2, change, verdict
    failed += change > most || before[$1] == ""
    seen++
  }
  END { if (!seen) { print "count: nothing was counted"; exit 1 } exit failed > 0 }
' "$counts" "$work/counts"

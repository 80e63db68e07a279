#!/usr/bin/env bash
# What takes longer than scripts/test.sh may; run before a release, its results go to CHANGELOG.md.
# Usage: scripts/test-long.sh [--system] [SECTION…], by default all of them:
#   long         the tests named long_… (the short run skips them), on a release build
#   upstreams    scripts/upstreams.sh: real servers, as docs/upstreams.md has them
#   conformance  the auth scenarios of the MCP conformance suite, on a release build
#   overload     scripts/load.sh --overload: what is left at ten times the capacity
#   soak         scripts/soak.sh: ten minutes of continuous change, on a release build
#   fuzz         scripts/fuzz.sh, five minutes for each target
#   sanitize     scripts/sanitize.sh, with AddressSanitizer where there is a nightly compiler
#   mutants      scripts/mutants.sh: which changes of the core no unit test notices
#   image        the Dockerfile's build in a new Debian (scripts/clean-root.sh; where this is not root,
#                scripts/build-image.sh here), and its result run as the image runs it, without Docker
#   release      scripts/release.sh, and what comes of it looked through
# With --system it may install debootstrap with apt-get.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
server=
cleanup() {
  [[ -z $server ]] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

section_long() {
  cargo run --release --locked --quiet -- model pull minilm --data index-data
  scripts/fetch-test-peers.sh
  TOOLSCOUT_LONG=1 cargo test --release --locked --test it long_ -- --include-ignored |
    tee "$work/long.log"
  if grep -q '^running 0 tests' "$work/long.log"; then
    echo "long: no test is named long_… yet, so nothing was tested"
  fi
}

section_upstreams() {
  scripts/upstreams.sh
}

section_conformance() {
  cargo build --release --locked --quiet
  scripts/conformance.sh target/release/toolscout
}

section_overload() {
  cargo build --release --locked --quiet
  scripts/load.sh --overload --seconds 10
}

section_soak() {
  cargo build --release --locked --quiet
  scripts/soak.sh target/release/toolscout
}

section_fuzz() {
  scripts/fuzz.sh --seconds 300
}

section_sanitize() {
  scripts/sanitize.sh
  scripts/sanitize.sh --address || (($? == 3))
}

section_mutants() {
  scripts/mutants.sh || (($? == 3))
}

section_image() {
  if [[ $(id -u) == 0 ]]; then
    if [[ $system == yes ]] && ! command -v debootstrap >/dev/null; then
      apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends debootstrap
    fi
    scripts/clean-root.sh "$work/image"
  else
    echo "image: not root, so it is built here and not in a clean root"
    scripts/build-image.sh "$work/image"
  fi
  # Port 0 lets the system choose, and the log says which it was.
  (
    cd "$work/image"
    exec env -i "PATH=$work/image/bin:/usr/bin:/bin" "HOME=$work/image/data" \
      TOOLSCOUT_LISTEN=0.0.0.0:0 TOOLSCOUT_DATA="$work/image/data" \
      toolscout serve --allow-anonymous --demo
  ) >"$work/serve.log" 2>&1 &
  server=$!
  local port=
  for _ in $(seq 300); do
    kill -0 "$server" 2>/dev/null || break
    port=$(grep -oE '0\.0\.0\.0:[1-9][0-9]*' "$work/serve.log" | head -n 1 | cut -d: -f2) || true
    if [[ -n $port ]] && "$work/image/bin/healthy" "$port" 2>/dev/null; then
      # Healthy comes with the first servers, the vectors of the rest a moment later.
      for _ in $(seq 100); do
        "$work/image/bin/toolscout" search --url "http://127.0.0.1:$port" "schedule a meeting" >"$work/answer"
        grep -q 'tools, hybrid' "$work/answer" && break
        sleep 0.2
      done
      cat "$work/answer"
      grep -q 'tools, hybrid' "$work/answer"
      kill "$server" && wait "$server" || true
      server=
      return
    fi
    sleep 0.2
  done
  echo "image: it did not become healthy; its log:" >&2
  cat "$work/serve.log" >&2
  return 1
}

section_release() {
  local -x LC_ALL=C
  scripts/release.sh "$work/release"
  (cd "$work/release" && sha256sum --check --quiet SHA256SUMS)
  local name
  name=$(basename "$work"/release/*.tar.gz .tar.gz)
  tar -C "$work" -xzf "$work/release/$name.tar.gz"
  "$work/$name/toolscout" --version
  [[ -f $work/$name/deploy/systemd/toolscout.service && -f $work/$name/docs/operating.md ]]
  # Every crate that is linked stands in the bill of materials.
  cargo tree --locked --package toolscout --edges normal --prefix none --format '{p}' | cut -d' ' -f1 | sort -u >"$work/linked"
  python3 -c 'import json, sys; print("\n".join(sorted({c["name"] for c in json.load(open(sys.argv[1]))["components"]} | {"toolscout"})))' \
    "$work/release/$name.cdx.json" >"$work/listed"
  if [[ -n $(comm -23 "$work/linked" "$work/listed") ]]; then
    echo "release: not in the bill of materials:" $(comm -23 "$work/linked" "$work/listed") >&2
    return 1
  fi
  echo "release: $(wc -l <"$work/listed") crates in the bill of materials"
}

system=no
if [[ ${1-} == --system ]]; then
  system=yes
  shift
fi
sections=("$@")
((${#sections[@]})) || sections=(long upstreams conformance overload soak fuzz sanitize mutants image release)
for section in "${sections[@]}"; do
  declare -F "section_$section" >/dev/null || {
    echo "test-long: no section $section; there are: long upstreams conformance overload soak fuzz sanitize mutants image release" >&2
    exit 2
  }
done
for section in "${sections[@]}"; do
  printf '\n== %s\n' "$section"
  from=$SECONDS
  "section_$section"
  printf '== %s: ok, %d s\n' "$section" $((SECONDS - from))
done

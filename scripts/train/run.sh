#!/usr/bin/env bash
# Trains toolscout's encoders, from published tools and our queries to the files that are shipped.
#
#   scripts/train/run.sh [--smoke] [--toolscout FILE] [--minilm DIR] [--teacher FILE]...
#                        [--out DIR] [--python FILE]
#
#   --smoke           everything with few texts and steps, in minutes; the weights are worth nothing
#   --toolscout FILE  the program that tells what text encoders read (target/release/toolscout)
#   --minilm DIR      MiniLM as `toolscout model pull minilm` puts it (index-data/models/minilm)
#   --teacher FILE    a teacher's checkpoint to learn from, in place of training one; may be given
#                     several times, the first is the one exported
#   --out DIR         where everything goes (scripts/train/out, or scripts/train/out/smoke)
#   --python FILE     a Python that has requirements.txt; else one is set up in scripts/train/.venv
#
# Tools are read from the folders of $TOOLSCOUT_BENCHMARKS; README.md says what belongs there. A
# stage whose output is newer than what it is made of is passed over; settings.py has the numbers.
# After a change of the programs themselves, remove the folder of --out.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

die() {
  printf 'train: %s\n' "$@" >&2
  exit 1
}

toolscout=${CARGO_TARGET_DIR:-$root/target}/release/toolscout
minilm=$root/index-data/models/minilm
out='' python='' smoke=() teachers=()
while (($#)); do
  case $1 in
    --smoke) smoke=(--smoke) ;;
    --help | -h)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    --toolscout | --minilm | --teacher | --out | --python)
      (($# > 1)) || die "$1 wants a value"
      case $1 in
        --toolscout) toolscout=$2 ;;
        --minilm) minilm=$2 ;;
        --teacher) teachers+=("$2") ;;
        --out) out=$2 ;;
        --python) python=$2 ;;
      esac
      shift
      ;;
    *) die "unknown option $1: see scripts/train/run.sh --help" ;;
  esac
  shift
done
out=${out:-$here/out${smoke:+/smoke}}

[[ -x $toolscout ]] || die "no $toolscout: build it with \`cargo build --release\`, or give --toolscout FILE"
[[ -e $minilm/model.onnx ]] || die "no $minilm/model.onnx: run \`$toolscout model pull minilm\`, or give --minilm DIR"
for teacher in "${teachers[@]}"; do
  [[ -e $teacher ]] || die "no checkpoint $teacher"
done

if [[ -z $python ]]; then
  venv=$here/.venv
  if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
    echo "train: setting up $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/"
  fi
  python=$venv/bin/python
fi

# glibc would give each large tensor back to the system and take it anew, zeroed page by page: on a
# CPU that is a good part of the time.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=16000000000
export PYTHONDONTWRITEBYTECODE=1 TOKENIZERS_PARALLELISM=true

# stage OUTPUT INPUT... -- PROGRAM ARGUMENT...: runs PROGRAM unless OUTPUT was finished by the same
# words after each INPUT. A stamp with the words tells when: an output alone may be half of one.
stage() {
  local words=$* name=$1 stamp=$out/.done/$1 stale='' from=$SECONDS
  [[ -e $out/$name && -e $stamp && $(<"$stamp") == "$words" ]] || stale=yes
  shift
  while [[ $1 != -- ]]; do
    [[ $1 -nt $stamp ]] && stale=yes
    shift
  done
  if [[ -z $stale ]]; then
    echo "train: $name is up to date"
    return
  fi
  echo "train: $name"
  rm -f "$stamp"
  "$python" "$here/$2" --out "$out" "${@:3}"
  printf '%s\n' "$words" >"$stamp"
  echo "train: $name took $((SECONDS - from)) s"
}

mkdir -p "$out/.done"
"$python" "$here/settings.py" --out "$out" "${smoke[@]}"
settings=$out/settings data=$here/data model=$minilm/model.onnx
texts=$out/.done/texts.jsonl.gz

benchmarks=() catalogs=()
if [[ -n ${TOOLSCOUT_BENCHMARKS:-} ]]; then
  benchmarks=(--benchmarks "$TOOLSCOUT_BENCHMARKS")
  catalogs=("$TOOLSCOUT_BENCHMARKS"/*/{catalog,servers}.jsonl*)
else
  echo "train: TOOLSCOUT_BENCHMARKS is not set: only the invented tools are learned from" >&2
fi
stage texts.jsonl.gz "$settings/texts.json" "$data"/*.catalog.* "${catalogs[@]}" -- \
  texts.py --toolscout "$toolscout" "${benchmarks[@]}"

if ((!${#teachers[@]})); then
  for numbers in "$settings"/teacher-*.json; do
    name=$(basename "$numbers" .json)
    stage "$name.safetensors" "$numbers" "$texts" "$data"/*pairs* "$model" -- \
      teacher.py --minilm "$minilm" --number "${name#teacher-}"
    teachers+=("$out/$name.safetensors")
  done
fi
stage vectors "$settings/vectors.json" "$texts" "$data"/*pairs* "${teachers[@]}" -- \
  vectors.py --minilm "$minilm" --teacher "${teachers[@]}"
stage student.safetensors "$settings/student.json" "$out/.done/vectors" -- \
  student.py --minilm "$minilm"
stage scout "$out/.done/student.safetensors" -- export.py --minilm "$minilm"
stage minilm-tools "${teachers[0]}" "$model" -- \
  export_teacher.py --minilm "$minilm" --teacher "${teachers[0]}"
stage curves.svg "$out/logs" "$out/logs"/*.jsonl -- plot.py

if ((${#smoke[@]})); then
  echo "train: the smoke run is done; its weights, in $out, are worth nothing"
else
  cat <<END
train: done. $out/curves.svg shows how it went, $out/minilm-tools is the teacher. To ship scout:
  cp $out/scout/* $root/index-data/models/scout/
  cp $out/pieces.jsonl $root/tests/fixtures/pieces.jsonl
  $root/scripts/eval.sh
END
fi

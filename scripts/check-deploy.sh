#!/usr/bin/env bash
# What is wrong with the files that others deploy us by: the Dockerfile (hadolint) and what it is given
# to build from, the Kubernetes manifests, the compose file and the workflows (their schemas), the
# systemd unit (systemd-analyze, where it is installed). That what they name exists in the program is
# for tests/it/run_deploy.rs.
# Usage: scripts/check-deploy.sh
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=tests/deploy/.venv/bin
[[ -x $tools/hadolint ]] || {
  echo "deploy: $tools/hadolint is absent: run scripts/fetch-test-peers.sh" >&2
  exit 1
}
status=0
check() { # COMMAND…
  "$@" || { echo "deploy: failed: $*" >&2; status=1; }
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check scripts/build-context.sh "$work/context"
# What Cargo.toml names is in it.
check cargo metadata --format-version 1 --no-deps --locked --offline \
  --manifest-path "$work/context/Cargo.toml" >/dev/null
check "$tools/hadolint" --failure-threshold style Dockerfile
# The oldest and the newest Kubernetes that the package knows of and that has all we use.
for version in 1.32.0 1.37.0; do
  check "$tools/kubernetes-validate" --strict --quiet -k "$version" \
    deploy/kubernetes/*.yaml deploy/kubernetes/optional/*.yaml
done
check "$tools/check-jsonschema" --builtin-schema vendor.compose-spec deploy/compose/compose.yaml
check "$tools/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml

unit=deploy/systemd/toolscout.service
if command -v systemd-analyze >/dev/null; then
  # The program need not be installed: any other stands for it.
  sed 's|/usr/local/bin/toolscout|/bin/true|' "$unit" >"$work/toolscout.service"
  # It speaks of other units of this machine as well.
  found=$(systemd-analyze verify --man=no "$work/toolscout.service" 2>&1 | grep -F toolscout)
  [[ -z $found ]] || { printf 'deploy: %s\n' "$found" >&2; status=1; }
  # 0 is a service that can do nothing, 10 one that can do everything.
  if exposure=$(systemd-analyze security --offline=true --threshold=20 "$work/toolscout.service" 2>&1); then
    echo "deploy: ${exposure##*→ }"
  else
    echo "deploy: the unit is more exposed than 2.0 of 10:" "${exposure##*→ }" >&2
    status=1
  fi
else
  echo "deploy: systemd-analyze is not installed: $unit was not checked"
fi
((status)) || echo "deploy: the files are sound"
exit "$status"

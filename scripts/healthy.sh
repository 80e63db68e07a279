#!/usr/bin/env bash
# Exit code 0 when toolscout answers /readyz with 200. For container health checks: an image has no
# curl, so bash opens the connection. Usage: healthy.sh [PORT]
set -euo pipefail
listen=${TOOLSCOUT_LISTEN:-127.0.0.1:7420}
port=${1:-${listen##*:}}

exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /readyz HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\n\r\n' "$port" >&3
IFS= read -r -t 3 answer <&3
[[ $answer == "HTTP/1.1 200"* ]] || {
  echo "not ready: ${answer%$'\r'}" >&2
  exit 1
}

#!/usr/bin/env bash
# What a tenant costs: memory and threads of a toolscout with 0 and with N tenants, each with a catalog
# of ten tools, and the time until the last is served.
# Usage: scripts/tenants.sh [N] [BINARY]
set -euo pipefail

count=${1:-100}
binary=${2:-target/release/toolscout}
binary=$(realpath "$binary")
folder=$(mktemp -d)
trap 'kill "${pid:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"

ask() {
    curl -sf --noproxy '*' -H "Authorization: Bearer $(cat data/admin.token)" "$url$1"
}

# Starts it with that many tenants; says how long that took, and what it has then.
measure() {
    rm -rf data ./*.toml
    echo '[auth]' > toolscout.toml
    echo 'keys = true' >> toolscout.toml
    for at in $(seq "$1"); do
        printf '[tenants.t%s]\nconfig = "t%s.toml"\n' "$at" "$at" >> toolscout.toml
        printf '[servers.files]\ncatalog = "tools.jsonl"\n' > "t$at.toml"
    done
    local began
    began=$(date +%s%3N)
    "$binary" serve --listen 127.0.0.1:0 --data data > out 2> log &
    pid=$!
    until url=$(grep -o 'http://[0-9.:]*' out | head -1) && [ -n "$url" ]; do sleep 0.02; done
    local up
    up=$(($(date +%s%3N) - began))
    # Every one has its ten tools.
    until [ "$(ask /v1/admin/tenants | grep -o '"tools":10' | wc -l)" -eq "$1" ]; do sleep 0.05; done
    local all
    all=$(($(date +%s%3N) - began))
    # Threads that have nothing to do any more end after ten seconds.
    sleep 15
    rss=$(awk '/VmRSS/ { print $2 }' "/proc/$pid/status")
    threads=$(awk '/Threads/ { print $2 }' "/proc/$pid/status")
    echo "tenants $1: listening after ${up} ms, all served after ${all} ms, rss ${rss} KiB, threads ${threads}"
    kill "$pid"
    wait "$pid" || true
}

for at in $(seq 10); do
    printf '{"server":"s","name":"tool_%s","description":"Finds thing %s in a place","inputSchema":{"type":"object"}}\n' "$at" "$at"
done > tools.jsonl
measure 0
none=$rss
measure "$count"
echo "a tenant: $(((rss - none) / count)) KiB"

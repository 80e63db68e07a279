"""Measures `toolscout serve` over its HTTP API: service.py PROGRAM SET CATALOG QUERIES MOST [SERVERS]

Prints a line of JSON. The process's CPU time is all of it, HTTP and JSON included.
"""

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from common import LIMIT, cpu_ms, mean, recall, resident_mb, sample

PATIENCE_S = 120


def cpu_s(pid):
    """User and system time so far, the process's threads together."""
    # After the name, which may hold anything: fields 14 and 15 of proc(5).
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(program, catalog, servers):
    """A server on a free port, in a folder of its own that is gone afterwards: (pid, connection)."""
    command = [program, "serve", "--listen", "127.0.0.1:0", "--data", "data", "--catalog", os.path.abspath(catalog)]
    command += ["--servers", os.path.abspath(servers)] if servers else []
    # As it is shipped, whatever is set around here.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TOOLSCOUT_")}
    with tempfile.TemporaryDirectory(prefix="compare-peers-") as folder:
        with open(f"{folder}/log", "wb") as log:
            server = subprocess.Popen(command, cwd=folder, env=clean, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            # "toolscout 0.1.0 on http://127.0.0.1:PORT (…"
            address = server.stdout.readline().partition("http://")[2].partition(" ")[0]
            if not address:
                sys.exit(f"{program} does not serve:\n{pathlib.Path(folder, 'log').read_text()}")
            yield server.pid, http.client.HTTPConnection(address, timeout=PATIENCE_S)
        finally:
            server.terminate()
            server.wait()


def get(connection, method, path, body=None):
    connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def until_built(connection):
    """Waits until it is ready and every tool has its vector; how many tools there are."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if get(connection, "GET", "/readyz")[0] == 200:
            status = get(connection, "GET", "/v1/status")[1]
            if status["embedded"] == status["total"]:
                return status
        time.sleep(0.05)
    sys.exit(f"toolscout was not ready within {PATIENCE_S} s")


def until_idle(pid):
    """Waits until what follows a build, as its snapshot, is done."""
    before = None
    while before != (now := cpu_s(pid)):
        before = now
        time.sleep(0.5)


async def main(program, name, catalog, queries, most, servers=None):
    queries = sample(queries, int(most))
    with serving(program, catalog, servers) as (pid, connection):
        status = until_built(connection)
        build_s = cpu_s(pid)
        until_idle(pid)
        took_us = []
        number = itertools.count()

        async def call(query):
            # White space says nothing, and makes each query another: no answer is a kept one.
            query += f" {next(number):b}".translate({ord("0"): " ", ord("1"): "\t"})
            code, answer = get(connection, "POST", "/v1/search", {"query": query, "limit": LIMIT})
            if code != 200 or answer["mode"] != "hybrid":
                sys.exit(f"toolscout answered {code}: {answer.get('detail') or answer.get('reason')}")
            took_us.append(answer["took_us"])
            return [tool["id"] for tool in answer["tools"]]

        # Also the warm-up.
        found = [recall(query, await call(query["query"])) for query in queries]
        memory_mb = resident_mb(pid)
        took_us.clear()
        call_ms = await cpu_ms(call, queries, lambda: cpu_s(pid))
        row = {
            "system": f"toolscout {status['version']}",
            "set": name,
            "tools": status["total"],
            "queries": len(queries),
            "memory_mb": memory_mb,
            "build_s": build_s,
            "rank_ms": mean(took_us) / 1000,
            "call_ms": call_ms,
            "recall": mean(found),
        }
        print(json.dumps(row))


# Ended from outside, it ends its server too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
asyncio.run(main(*sys.argv[1:]))

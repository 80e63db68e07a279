"""The work of scripts/cluster-load.sh: replicas, a balancer before them, and clients."""

import argparse
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from http.server import ThreadingHTTPServer

from soak import TOOLS, Upstream, get

SETS = "livemcpbench smithery-mcp metatool sealtools stabletoolbench".split()
SERVERS = 8
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


class Replica:
    """A running replica with a folder of its own."""

    def __init__(self, name, args, upstream, folder):
        self.name = name
        home = pathlib.Path(folder, name)
        home.mkdir()
        text = f'[cluster]\ndatabase_url = "{args.database}"\nreplica = "{name}"\nlease = "3s"\n'
        for number in range(SERVERS):
            url = f"http://127.0.0.1:{upstream}/{number}/mcp"
            text += f'[servers.changing-{number}]\nurl = "{url}"\nrefresh = "1s"\n'
        for one in SETS:
            for catalog in pathlib.Path(args.benchmarks, one).glob("catalog.jsonl*"):
                text += f"[servers.{one}]\ncatalog = '{catalog.resolve()}'\n"
        (home / "toolscout.toml").write_text(text)
        command = [os.path.abspath(args.program), "serve", "--listen", "127.0.0.1:0", "--data", "data"]
        if not any(pathlib.Path(args.benchmarks, one).exists() for one in SETS):
            command.append("--demo")
        self.log = open(home / "log", "w")
        self.process = subprocess.Popen(
            command, cwd=home, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        first = self.process.stdout.readline()
        self.base = next(word for word in first.split() if word.startswith("http://"))

    def wait(self, tools):
        """Until it has so many tools."""
        deadline = time.monotonic() + 300
        while get(f"{self.base}/v1/status")["total"] < tools:
            if time.monotonic() > deadline:
                sys.exit(f"cluster-load: {self.name} never has {tools} tools")
            time.sleep(0.5)

    def lag(self):
        """The buckets of the time from a publication to its reading, as (most, count)."""
        with urllib.request.urlopen(f"{self.base}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(r'toolscout_cluster_lag_seconds_bucket\{le="([^"]+)"\} (\d+)', text)
        return [(float(most.replace("+Inf", "inf")), int(count)) for most, count in found]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def balance(replicas, folder):
    """haproxy before them; a request that a dead one did not answer goes to another."""
    port = free_port()
    lines = [
        "global", "  maxconn 4096", "defaults", "  mode http", "  timeout connect 1s", "  timeout client 30s",
        "  timeout server 30s", "  option redispatch 1", "  retries 3",
        "  retry-on conn-failure empty-response response-timeout", "frontend tools",
        f"  bind 127.0.0.1:{port}", "  default_backend replicas", "backend replicas", "  balance leastconn",
        "  option httpchk GET /readyz", "  default-server check inter 500ms fall 1 rise 1",
    ]
    lines += [f"  server {one.name} {one.base.removeprefix('http://')}" for one in replicas]
    at = pathlib.Path(folder, "haproxy.cfg")
    at.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(["haproxy", "-db", "-q", "-f", at], stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    while True:
        try:
            get(f"{base}/readyz")
            return base, process
        except OSError:
            if time.monotonic() > deadline:
                sys.exit("cluster-load: haproxy does not begin")
            time.sleep(0.1)


def queries(args):
    """Texts to search for."""
    texts = []
    for one in SETS:
        at = pathlib.Path(args.benchmarks, one, "queries.jsonl")
        if at.exists():
            lines = at.read_text().splitlines()
            texts += [json.loads(line)["query"] for line in lines[:: max(1, len(lines) // 400)]]
    return texts or ["send an email", "create a ticket", "list files"]


def load(args, base, folder, then=None):
    """Requests for a while; `then` is done in the middle. A second, and how many failed."""
    urls = pathlib.Path(folder, "urls")
    urls.write_text("".join(f"{base}/v1/search?q={urllib.parse.quote(text)}\n" for text in queries(args)))
    command = [args.oha, "--no-tui", "--output-format", "json", "--urls-from-file", "-c", str(args.connections)]
    running = subprocess.Popen(
        command + ["-z", f"{args.seconds}s", urls], stdout=subprocess.PIPE, env=ENVIRONMENT, text=True
    )
    if then:
        time.sleep(args.seconds / 2)
        then()
    told = json.loads(running.communicate()[0])
    codes = {int(code): count for code, count in told["statusCodeDistribution"].items()}
    # Those under way when the time is over are cut off by oha itself.
    errors = {why: n for why, n in told["errorDistribution"].items() if "deadline" not in why}
    percentiles = told["latencyPercentiles"]
    return {
        "rate": told["summary"]["requestsPerSec"],
        "p50": percentiles["p50"] * 1000,
        "p99": percentiles["p99"] * 1000,
        "failed": sum(count for code, count in codes.items() if code != 200) + sum(errors.values()),
        "all": sum(codes.values()),
        "why": errors or {code: count for code, count in codes.items() if code != 200},
    }


def show(name, told):
    why = f"  {told['why']}" if told["why"] else ""
    print(
        f"{name:34} {told['rate']:7.0f} /s   p50 {told['p50']:6.1f} ms   p99 {told['p99']:7.1f} ms   "
        f"{told['failed']} of {told['all']} failed{why}",
        flush=True,
    )


def percentile(buckets, share):
    """The bound of the bucket in which it lies."""
    whole = buckets[-1][1]
    return next(most for most, count in buckets if count >= share * whole) if whole else float("nan")


def main():
    parser = argparse.ArgumentParser()
    for name, kind in [("seconds", int), ("replicas", int), ("connections", int)]:
        parser.add_argument(f"--{name}", type=kind)
    for name in ("database", "benchmarks", "oha"):
        parser.add_argument(f"--{name}")
    parser.add_argument("program")
    args = parser.parse_args()
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = upstream.server_address[1]
    with tempfile.TemporaryDirectory() as folder:
        replicas, balancer = [], None
        try:
            replicas.append(Replica("a", args, port, folder))
            replicas[0].wait(SERVERS * TOOLS // 2)
            time.sleep(3)
            tools = get(f"{replicas[0].base}/v1/status")["total"]
            print(f"{tools} tools, {SERVERS * TOOLS} of them change, {os.cpu_count()} cores, {args.connections} clients")
            show("one replica", load(args, replicas[0].base, folder))
            for number in range(1, args.replicas):
                replicas.append(Replica(chr(ord("a") + number), args, port, folder))
            for one in replicas:
                one.wait(tools * 9 // 10)
            base, balancer = balance(replicas, folder)
            show(f"{len(replicas)} replicas behind haproxy", load(args, base, folder))
            dying = replicas[-1]
            show("the same, one killed meanwhile", load(args, base, folder, then=dying.process.kill))
            replicas.pop().process.wait()
            time.sleep(5)
            show(f"{len(replicas)} that are left", load(args, base, folder))
            for one in replicas:
                buckets = one.lag()
                print(
                    f"replica {one.name}: {buckets[-1][1]} publications read, half of them within "
                    f"{percentile(buckets, 0.5) * 1000:.0f} ms, 99 % within {percentile(buckets, 0.99) * 1000:.0f} ms"
                )
        finally:
            for one in replicas:
                one.process.send_signal(signal.SIGTERM)
            for one in replicas:
                one.process.wait(30)
            if balancer:
                balancer.kill()


main()

"""The work of scripts/soak.sh: upstreams that change, callers that ask, and the memory of the service."""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVERS = 8  # over HTTP
TOOLS = 250  # of each
WORDS = "create delete list send read write calendar mail file ticket invoice user event message".split()

# Growth from the second quarter to the last that is noise: pages of an allocator, of a cache that fills.
ALLOWED = 0.15


def definition(rng, number):
    words = " ".join(rng.choices(WORDS, k=12))
    params = {w: {"type": "string", "description": " ".join(rng.choices(WORDS, k=6))} for w in rng.sample(WORDS, 4)}
    return {
        "name": f"tool_{number}",
        "description": words,
        "inputSchema": {"type": "object", "properties": params},
    }


class Upstream(BaseHTTPRequestHandler):
    """An MCP server of 2025 without a stream of news: a twentieth of its tools is new in each listing."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    tools = {}
    served = 0

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(405)
        self.send_header("content-length", "0")
        self.end_headers()

    do_DELETE = do_GET

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "id" not in asked:
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        if asked["method"] == "initialize":
            answer = {
                "result": {
                    "protocolVersion": "2025-06-18",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "soak", "version": "1"},
                }
            }
        elif asked["method"] == "tools/list":
            answer = {"result": {"tools": self.listing()}}
        else:
            answer = {"error": {"code": -32601, "message": "unknown method"}}
        body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def listing(self):
        with Upstream.lock:
            Upstream.served += 1
            rng = random.Random(Upstream.served)
            tools = Upstream.tools.setdefault(self.path, [definition(rng, n) for n in range(TOOLS)])
            for _ in range(TOOLS // 20):
                at = rng.randrange(TOOLS)
                tools[at] = definition(rng, at + TOOLS * rng.randrange(4))
            # A name stands once in a listing.
            return list({tool["name"]: tool for tool in tools}.values())


def resident(pid):
    """Bytes in memory, and the most that there ever were."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    read = lambda key: next(int(l.split()[1]) * 1024 for l in status.splitlines() if l.startswith(key))
    return read("VmRSS:"), read("VmHWM:")


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def ask(base, until, counts):
    """Searches and lists until then; a wrong answer ends it."""
    rng = random.Random()
    while time.monotonic() < until:
        query = " ".join(rng.choices(WORDS, k=4))
        answer = get(f"{base}/v1/search?q={urllib.parse.quote(query)}")
        if not answer["tools"]:
            counts["wrong"] += 1
        counts["asked"] += 1
        if counts["asked"] % 50 == 0:
            get(f"{base}/v1/tools?limit=100")
            get(f"{base}/v1/changes?since=0&limit=100")
        time.sleep(0.02)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("program")
    args = parser.parse_args()
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = upstream.server_address[1]
    with tempfile.TemporaryDirectory() as folder:
        entries = [
            f'[servers.soak-{n}]\nurl = "http://127.0.0.1:{port}/{n}/mcp"\nrefresh = "1s"\n' for n in range(SERVERS)
        ]
        pathlib.Path(folder, "toolscout.toml").write_text("[learn]\nenabled = true\n" + "".join(entries))
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        service = subprocess.Popen(
            [os.path.abspath(args.program), "serve", "--demo", "--listen", "127.0.0.1:0", "--data", "data"],
            cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        try:
            base = next(word for word in service.stdout.readline().split() if word.startswith("http://"))
            deadline = time.monotonic() + 60
            while get(f"{base}/v1/status")["total"] < SERVERS * TOOLS // 2:
                if time.monotonic() > deadline:
                    sys.exit("soak: the first crawl does not end")
                time.sleep(0.2)
            counts = {"asked": 0, "wrong": 0}
            begun = get(f"{base}/v1/status")["generation"]
            until = time.monotonic() + args.seconds
            callers = [threading.Thread(target=ask, args=(base, until, counts)) for _ in range(4)]
            for caller in callers:
                caller.start()
            samples = []
            while time.monotonic() < until:
                samples.append(resident(service.pid)[0])
                time.sleep(1)
            for caller in callers:
                caller.join()
            status = get(f"{base}/v1/status")
            peak = resident(service.pid)[1]
            files = len(os.listdir(f"/proc/{service.pid}/fd"))
            service.send_signal(signal.SIGTERM)
            ended = service.wait(timeout=30)
        finally:
            service.kill()
    quarter = max(1, len(samples) // 4)
    median = lambda part: sorted(part)[len(part) // 2]
    early, late = median(samples[quarter : 2 * quarter]), median(samples[-quarter:])
    mb = lambda size: f"{size / 2**20:.0f} MB"
    print(
        f"{args.seconds} s, {status['total']} tools, {status['generation'] - begun} generations, "
        f"{Upstream.served} listings, {counts['asked']} searches\n"
        f"memory: {mb(samples[0])} at first, {mb(early)} in the second quarter, {mb(late)} in the last, "
        f"{mb(samples[-1])} at the end, {mb(peak)} at most; {files} files open"
    )
    if late > early * (1 + ALLOWED):
        sys.exit(f"soak: memory grew from {mb(early)} to {mb(late)}")
    if counts["wrong"] or ended != 0 or counts["asked"] == 0:
        sys.exit(f"soak: {counts['wrong']} wrong answers, exit code {ended}")


main()

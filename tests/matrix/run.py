"""Crawls the servers of servers.json with toolscout, over each transport that they have, one at a
time; holds what was found against the official SDK's listing (list.mjs); and compares the table
with the one in docs/upstreams.md.

Usage: run.py TOOLSCOUT [--write] [NAME…]; see scripts/upstreams.sh.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
TABLE = HERE.parent.parent / "docs" / "upstreams.md"
MODERN = "2026-07-28"
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "USER")
DISCOVER = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "server/discover",
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "matrix", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}


def version(name):
    package = HERE / "node_modules" / name / "package.json"
    if package.exists():
        return json.loads(package.read_text())["version"]
    for pins in ("modern.txt", "classic.txt"):
        # Dashes, dots and underscores are the same to PyPI.
        spelt = re.sub(r"[-_.]+", "[-_.]", name)
        found = re.search(rf"^{spelt}==(.+)$", (HERE / pins).read_text(), re.M | re.I)
        if found:
            return found[1].strip()
    sys.exit(f"upstreams: {name} is in no lock file of tests/matrix")


def program(name):
    folder = HERE / "node_modules" / name
    bins = json.loads((folder / "package.json").read_text())["bin"]
    return str(folder / (bins if isinstance(bins, str) else next(iter(bins.values()))))


def filled(values, name, tmp, port=None):
    """`values` with what stands in braces filled in."""
    out = []
    for value in values:
        python = re.fullmatch(r"\{py:(\w+):(.+)\}", value)
        if python:
            folder = HERE / ".venv" / python[1] / "bin"
            # Its first line names the folder that it was installed to, which may have moved.
            out += [str(folder / "python"), str(folder / python[2])]
            continue
        if "{js}" in value:
            value = value.replace("{js}", program(name))
        value = value.replace("{tmp}", tmp).replace("{here}", str(HERE))
        out.append(value.replace("{port}", str(port)))
    return out


def environment(entry, more, name, tmp, port=None):
    env = {key: os.environ[key] for key in INHERITED if key in os.environ}
    named = {**entry.get("env", {}), **more}
    return env, dict(zip(named, filled(named.values(), name, tmp, port)))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop(child):
    try:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(5)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def answered(message):
    error = message.get("error")
    if error is None:
        return "yes"
    return str(error.get("code")) if isinstance(error, dict) else "no JSON-RPC"


def probe_stdio(command, env, cwd):
    """What the server answers to a discover request, and whether it prints anything else."""
    child = subprocess.Popen(
        command, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )
    junk, said = False, "nothing"
    watchdog = threading.Timer(30, stop, [child])
    watchdog.start()
    try:
        child.stdin.write(json.dumps(DISCOVER).encode() + b"\n")
        child.stdin.flush()
        for line in child.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if not isinstance(message, dict):
                junk = junk or bool(line.strip())
            elif message.get("id") == 1:
                said = answered(message)
                break
    except BrokenPipeError:
        pass
    finally:
        watchdog.cancel()
        stop(child)
    return said, junk


def probe_http(url, bearer):
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "server/discover",
    }
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    request = urllib.request.Request(url, json.dumps(DISCOVER).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        response = opener.open(request, timeout=15)
    except urllib.error.HTTPError as error:
        response = error
    except OSError as error:
        return type(error).__name__
    status, code = response.status, None
    try:
        for line in response.read(65_536).decode(errors="replace").splitlines():
            line = line.removeprefix("data:").strip()
            if line.startswith("{"):
                code = answered(json.loads(line))
                break
    except (OSError, ValueError):
        pass
    if status == 200:
        return code or "200 without an answer"
    return f"HTTP {status}" + (f", {code}" if code else "")


def toml(value):
    return json.dumps(value, ensure_ascii=False)


def crawl(toolscout, entry, tmp):
    """One crawl by toolscout: its report, and the names of the tools."""
    lines = [f"{key} = {toml(value)}" for key, value in entry.items() if key != "env"]
    if entry.get("env"):
        pairs = ", ".join(f"{toml(key)} = {toml(value)}" for key, value in entry["env"].items())
        lines.append(f"env = {{ {pairs} }}")
    (Path(tmp) / "toolscout.toml").write_text("[servers.it]\n" + "\n".join(lines) + "\n")
    out = Path(tmp) / "catalog.jsonl"
    ran = subprocess.run(
        [toolscout, "crawl", "--json", "--data", "data", "--out", str(out)],
        cwd=tmp, capture_output=True, text=True, timeout=120, check=False,
    )
    try:
        report = json.loads(ran.stdout)[0]
    except (ValueError, IndexError):
        sys.exit(f"upstreams: toolscout crawl failed: {ran.stderr}")
    names = [json.loads(line)["name"] for line in out.read_text().splitlines()] if out.exists() else []
    return report, sorted(names)


def listed(kind, target, env, cwd):
    """The names that the SDK lists, or None."""
    try:
        ran = subprocess.run(
            ["node", str(HERE / "list.mjs"), kind, *target],
            env=env, cwd=cwd, capture_output=True, text=True, timeout=120, check=False,
        )
        # A server may have printed as well.
        return sorted(json.loads(ran.stdout.strip().splitlines()[-1]))
    except (subprocess.TimeoutExpired, IndexError, ValueError):
        return None


def row(toolscout, name, entry, kind, base):
    tmp = tempfile.mkdtemp(dir=base)
    way = entry[kind]
    child = None
    junk = False
    try:
        if kind == "stdio":
            env, own = environment(entry, {}, name, tmp)
            command = filled(way, name, tmp)
            discover, junk = probe_stdio(command, env | own, tmp)
            theirs = listed(kind, command, env | own, tmp)
            server = {"command": command[0], "args": command[1:], "cwd": tmp, "env": own}
        else:
            port = free_port()
            env, own = environment(entry, way.get("env", {}), name, tmp, port)
            log = open(Path(tmp) / "server.log", "wb")
            child = subprocess.Popen(
                filled(way["run"], name, tmp, port), env=env | own, cwd=tmp,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
            port = wait_for(child, port, Path(tmp) / "server.log")
            url = f"http://127.0.0.1:{port}{way['path']}"
            bearer = way.get("bearer")
            discover = probe_http(url, bearer)
            theirs = listed(kind, [url], env | ({"BEARER": bearer} if bearer else {}), tmp)
            server = {"url": url, **({"bearer_token": bearer} if bearer else {})}
        report, ours = crawl(toolscout, {**server, "timeout": "60s"}, tmp)
    finally:
        if child:
            stop(child)
        if not os.environ.get("KEEP"):
            shutil.rmtree(tmp, ignore_errors=True)
    remarks = []
    if junk:
        remarks.append("prints other lines on stdout")
    remarks += [f"{len(report['defects'])} defects"] if report["defects"] else []
    if report["error"]:
        remarks.append(report["error"].replace(tmp, "").replace("|", "/")[:160])
    if theirs is None:
        remarks.append("not listed by the SDK")
    elif theirs != ours:
        remarks.append(f"the SDK lists {len(theirs)}")
    cells = [
        name, version(name), kind, report["protocol"] or "–", discover,
        "–" if report["tools"] is None else str(report["tools"]), "; ".join(remarks),
    ]
    if theirs is None:
        return cells, report["state"] == "auth_required"
    return cells, theirs == ours and report["tools"] is not None


def wait_for(child, port, log):
    """The port on which the server listens: the one it was given, unless it chose one."""
    for _ in range(600):
        chosen = re.search(rb"^loopback (\d+)", log.read_bytes(), re.M)
        at = int(chosen[1]) if chosen else port
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", at)) == 0:
                return at
        if child.poll() is not None:
            break
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-600:]
    print(f"upstreams: does not listen on {port}: {tail}", file=sys.stderr)
    return port


HEAD = """# Real servers that toolscout was tried with

`scripts/upstreams.sh` installs these servers at the versions named here, crawls each over every
transport that it has, and holds the names that it found against a listing by the official
TypeScript SDK. It fails where the two differ, or where a row is worse than below;
`scripts/upstreams.sh --write` writes this table. Credentials are dummies: whatever a server
shows to nobody else is not here.

*Spoken* is the protocol version that the listing came in. *Discover* is the server's own answer to
`server/discover` of 2026-07-28: `yes`, or the error by which it has to be told that the server is
older.

| server | version | transport | spoken | discover | tools | remarks |
|---|---|---|---|---|---|---|
"""


def read_table():
    rows = {}
    if TABLE.exists():
        for line in TABLE.read_text().splitlines():
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if line.startswith("| ") and len(cells) == 7 and cells[0] != "server":
                rows[cells[0], cells[2]] = cells
    return rows


def main():
    toolscout, *rest = sys.argv[1:]
    write = "--write" in rest
    wanted = [name for name in rest if name != "--write"]
    servers = json.loads((HERE / "servers.json").read_text())["servers"]
    if unknown := set(wanted) - set(servers):
        sys.exit(f"upstreams: no such server in tests/matrix/servers.json: {', '.join(unknown)}")
    before, rows, worse = read_table(), {}, []
    base = tempfile.mkdtemp(prefix="upstreams-")
    for name in wanted or servers:
        for kind in ("stdio", "http", "sse"):
            if kind not in servers[name]:
                continue
            cells, agrees = row(os.path.abspath(toolscout), name, servers[name], kind, base)
            rows[name, kind] = cells
            print(" | ".join(cells), flush=True)
            was = before.get((name, kind))
            # Known to differ, and as it was: the remarks say how.
            known = was is not None and was[1:] == cells[1:]
            if not agrees and not known:
                worse.append(f"{name} over {kind}: not what the SDK lists")
            if was and (was[3], was[5]) != (cells[3], cells[5]):
                worse.append(f"{name} over {kind}: {was[3]}, {was[5]} tools before")
    if not os.environ.get("KEEP"):
        shutil.rmtree(base, ignore_errors=True)
    if write:
        table = {**before, **rows} if wanted else rows
        lines = [f"| {' | '.join(cells)} |\n" for _, cells in sorted(table.items())]
        TABLE.write_text(HEAD + "".join(lines))
        print(f"wrote {TABLE}: {len(table)} rows")
    for line in worse:
        print(f"upstreams: {line}", file=sys.stderr)
    sys.exit(1 if worse and not write else 0)


main()

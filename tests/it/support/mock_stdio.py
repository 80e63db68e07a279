"""An MCP server on stdio that does what its script (a JSON file) says, byte for byte."""
import json
import os
import subprocess
import sys
import threading
import time

PATH = sys.argv[1]


def script():
    with open(PATH, encoding="utf-8") as file:
        return json.load(file)


S = script()
LOCK = threading.Lock()


def write(data):
    with LOCK:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def say(text):
    write(text.encode("utf-8") + b"\n")


def reply(request, result):
    """`result` is text: nothing here may change a byte of it."""
    say('{"result":%s,"jsonrpc":"2.0","id":%s}' % (result, json.dumps(request["id"])))


def refuse(request, code):
    error = {"code": code, "message": "what?"}
    say(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}))


def log(text):
    """Tells the test what came."""
    with open(PATH + ".log", "a", encoding="utf-8") as file:
        file.write(text + "\n")


def announce(meta):
    """Sends list_changed whenever the test touches a file."""
    flag = PATH + ".change"
    while True:
        if os.path.exists(flag):
            os.remove(flag)
            params = {"_meta": meta}
            method = "notifications/tools/list_changed"
            say(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))
        time.sleep(0.02)


def die():
    """Ends the process whenever the test touches a file."""
    while not os.path.exists(PATH + ".die"):
        time.sleep(0.02)
    os.remove(PATH + ".die")
    os._exit(3)


def call_tool(request):
    """Answers by the tool's name: `calls` has what each is to do."""
    params = request["params"]
    log("call %s" % params["name"])
    what = script()["calls"][params["name"]]
    if what == "hang":
        return
    if what == "die":
        os._exit(4)
    if what == "die once" and not os.path.exists(PATH + ".died"):
        open(PATH + ".died", "w").close()
        os._exit(4)
    if what == "params":
        return reply(request, json.dumps({"content": [], "structuredContent": params}))
    if what == "die once":
        return reply(request, '{"content": []}')
    if what.get("wait"):
        threading.Thread(target=wait, args=(request, what), daemon=True).start()
    else:
        answer(request, what)


def wait(request, what):
    """Answers once the test touches a file, other calls meanwhile."""
    while not os.path.exists(PATH + ".go"):
        time.sleep(0.02)
    answer(request, what)


def answer(request, what):
    for step in what.get("progress", []):
        told = {"progressToken": request["params"]["_meta"]["progressToken"], **step}
        say(json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": told}))
    if "error" in what:
        return say(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": what["error"]}))
    reply(request, what["result"])


def list_tools(request):
    step = script()
    if step.get("hang"):
        return
    if step.get("flood"):
        while True:
            write(b"x" * 65536)
    if step.get("junk"):
        write(b"<!doctype html>\n<p>Oops\n\x00\xff\n")
        return write(b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"na\n')
    if step.get("cut"):
        write(b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"na')
        os._exit(0)
    if step.get("environment"):
        tool = {"name": "env", "inputSchema": {"type": "object"}, "env": dict(os.environ)}
        return reply(request, json.dumps({"tools": [tool]}))
    cursor = (request.get("params") or {}).get("cursor")
    for at, page in step["pages"]:
        if at == cursor:
            return reply(request, page)
    refuse(request, -32602)


log("start %d" % os.getpid())
if S.get("last_words"):
    print(S["last_words"], file=sys.stderr, flush=True)
    sys.exit(7)
if S.get("grandchild"):
    log("start %d" % subprocess.Popen(["sleep", "600"]).pid)
if S.get("noise"):
    write(b"Starting up...\n\n{not json}\n[1]\n\xff\xfe\n{\"level\":\"info\"}\n")
    sys.stderr.write("y" * 100_000 + "\nmore\n")
time.sleep(S.get("delay", 0))
threading.Thread(target=die, daemon=True).start()
STATELESS = S.get("stateless", False)
INFO = {"name": "mock", "version": "1", "description": "A mock."}
TOOLS = {"tools": {"listChanged": True}}
for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    log(str(method))
    if method == "server/discover" and STATELESS:
        meta = {"io.modelcontextprotocol/serverInfo": INFO}
        result = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "_meta": meta}
        result.update(supportedVersions=["2026-07-28"], capabilities=TOOLS)
        reply(message, json.dumps(result))
    elif method == "initialize" and not STATELESS:
        result = {"protocolVersion": "2024-11-05", "capabilities": TOOLS, "serverInfo": INFO}
        result["instructions"] = "i" * S.get("instructions", 0)
        reply(message, json.dumps(result))
        threading.Thread(target=announce, args=({},), daemon=True).start()
    elif method == "subscriptions/listen" and STATELESS:
        meta = {"io.modelcontextprotocol/subscriptionId": message["id"]}
        params = {"_meta": meta, "notifications": {"toolsListChanged": True}}
        acknowledged = "notifications/subscriptions/acknowledged"
        say(json.dumps({"jsonrpc": "2.0", "method": acknowledged, "params": params}))
        threading.Thread(target=announce, args=(meta,), daemon=True).start()
    elif method == "tools/list":
        list_tools(message)
    elif method == "tools/call":
        call_tool(message)
    elif method == "notifications/cancelled":
        log("cancelled")
    elif "id" in message and method:
        if S.get("dies_on_discover"):
            sys.exit(1)
        refuse(message, S.get("refusal", -32601))
if S.get("stubborn"):
    time.sleep(600)

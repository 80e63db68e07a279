"""Claude with every tool that toolscout knows (Messages API, custom tool search).

The whole catalog goes along as deferred tools, which Claude does not see. It calls the search tool,
toolscout answers with references, and the API loads what they name. Calls go through toolscout
(`[call] enabled = true`).

    pip install anthropic
    python anthropic_tool_search.py "give the customer their money back"
"""

import json
import os
import sys
import urllib.error
import urllib.request

import anthropic

TOOLSCOUT = os.environ.get("TOOLSCOUT_URL", "http://127.0.0.1:7420")
MODEL = os.environ.get("ANTHROPIC_MODEL", "claude-sonnet-5")


def toolscout(path: str, body: dict | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(TOOLSCOUT + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def answer(use: anthropic.types.ToolUseBlock) -> dict:
    if use.name == "search_tools":
        search = {**use.input, "format": "tool_reference", "tool_use_id": use.id}
        return toolscout("/v1/search", search)["result"]
    try:
        result = toolscout("/v1/call", {"id": use.name, "arguments": use.input})["result"]
        texts = [block["text"] for block in result["content"] if block["type"] == "text"]
        said, failed = "\n".join(texts), result.get("isError", False)
    except urllib.error.HTTPError as error:
        said, failed = json.load(error)["detail"], True
    return {"type": "tool_result", "tool_use_id": use.id, "content": said, "is_error": failed}


client = anthropic.Anthropic()
tools = toolscout("/v1/anthropic/tools")["tools"]
messages: list = [{"role": "user", "content": sys.argv[1]}]
while True:
    reply = client.messages.create(model=MODEL, max_tokens=4096, tools=tools, messages=messages)
    messages.append({"role": "assistant", "content": reply.content})
    uses = [block for block in reply.content if block.type == "tool_use"]
    if not uses:
        break
    messages.append({"role": "user", "content": [answer(use) for use in uses]})
print("".join(block.text for block in reply.content if block.type == "text"))

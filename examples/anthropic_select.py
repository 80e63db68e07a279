"""Claude with the few tools that fit the conversation, chosen before each request (Messages API).

toolscout reads the conversation as it is and gives the tools for the next turn. What it gave before
stays, in the same order, so that prompt caches hold. Calls go through toolscout (`[call] enabled = true`).

    pip install anthropic
    python anthropic_select.py "give the customer their money back"
"""

import json
import os
import sys
import urllib.error
import urllib.request

import anthropic

TOOLSCOUT = os.environ.get("TOOLSCOUT_URL", "http://127.0.0.1:7420")
MODEL = os.environ.get("ANTHROPIC_MODEL", "claude-sonnet-5")


def toolscout(path: str, body: dict) -> dict:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(TOOLSCOUT + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def answer(use: dict) -> dict:
    try:
        result = toolscout("/v1/call", {"id": use["name"], "arguments": use["input"]})["result"]
        texts = [block["text"] for block in result["content"] if block["type"] == "text"]
        said, failed = "\n".join(texts), result.get("isError", False)
    except urllib.error.HTTPError as error:
        said, failed = json.load(error)["detail"], True
    return {"type": "tool_result", "tool_use_id": use["id"], "content": said, "is_error": failed}


client = anthropic.Anthropic()
messages: list = [{"role": "user", "content": sys.argv[1]}]
given: list = []
while True:
    select = {"messages": messages, "previous": given, "token_budget": 4000, "format": "anthropic"}
    selected = toolscout("/v1/select", select)
    given = selected["ids"]
    reply = client.messages.create(
        model=MODEL, max_tokens=4096, tools=selected["result"], messages=messages
    )
    content = reply.to_dict()["content"]
    messages.append({"role": "assistant", "content": content})
    uses = [block for block in content if block["type"] == "tool_use"]
    if not uses:
        break
    messages.append({"role": "user", "content": [answer(use) for use in uses]})
print("".join(block["text"] for block in content if block["type"] == "text"))

"""An OpenAI model with every tool that toolscout knows (Responses API, client-executed tool search).

The model says what it needs in a `tool_search_call`; toolscout's answer is the `tool_search_output`,
a namespace a server. Calls go through toolscout (`[call] enabled = true`).

    pip install openai
    python openai_tool_search.py "give the customer their money back"
"""

import json
import os
import sys
import urllib.error
import urllib.request

import openai

TOOLSCOUT = os.environ.get("TOOLSCOUT_URL", "http://127.0.0.1:7420")
MODEL = os.environ.get("OPENAI_MODEL", "gpt-5.6")


def toolscout(path: str, body: dict | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(TOOLSCOUT + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def answer(item) -> dict | None:
    if item.type == "tool_search_call":
        search = {**item.arguments, "format": "tool_search_output", "call_id": item.call_id}
        return toolscout("/v1/search", search)["result"]
    if item.type != "function_call":
        return None
    try:
        call = {"id": item.name, "arguments": json.loads(item.arguments)}
        said = json.dumps(toolscout("/v1/call", call)["result"])
    except urllib.error.HTTPError as error:
        said = json.load(error)["detail"]
    return {"type": "function_call_output", "call_id": item.call_id, "output": said}


client = openai.OpenAI()
tools = [tool for tool in toolscout("/v1/openai/tools")["tools"] if tool["type"] == "tool_search"]
items: list = [{"role": "user", "content": sys.argv[1]}]
before = None
while items:
    response = client.responses.create(
        model=MODEL, tools=tools, input=items, previous_response_id=before
    )
    before = response.id
    items = [item for item in map(answer, response.output) if item]
print(response.output_text)

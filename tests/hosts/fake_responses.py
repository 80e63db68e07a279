"""The OpenAI Responses API: functions, and tool search that the client executes."""

import itertools
import json
from typing import Any

from openai.types.responses import (
    NamespaceToolParam,
    Response,
    ResponseToolSearchOutputItemParamParam,
    ToolSearchToolParam,
)
from openai.types.responses.namespace_tool_param import ToolFunction
from openai.types.responses.response_input_param import FunctionCallOutput

from fake_rules import Refused, fits, made_up, named, schema_of_object, unique

TOOLS: dict[str, Any] = {
    # The API takes one without `strict`, which `FunctionToolParam` requires.
    "function": ToolFunction,
    "namespace": NamespaceToolParam,
    "tool_search": ToolSearchToolParam,
}
numbers = itertools.count(1)
# The items of every conversation, by the id of its last response.
kept: dict[str, list[dict]] = {}
# Namespace (or None) and name of a function.
Name = tuple[str | None, str]


def error(message: str) -> dict:
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def answer(request: dict, headers: Any) -> dict:
    if not headers.get("Authorization", "").startswith("Bearer "):
        raise Refused("Missing bearer authentication in header", 401)
    for field in ("model", "input"):
        if field not in request:
            raise Refused(f"Missing required parameter: '{field}'.")
    before = request.get("previous_response_id")
    if before is not None and before not in kept:
        raise Refused(f"Previous response with id '{before}' not found.")
    new = request["input"]
    new = [{"role": "user", "content": new}] if isinstance(new, str) else new
    items = kept.get(before, []) + new
    tools = request.get("tools", [])
    functions = check_tools(tools, "tools")
    searches = any(tool["type"] == "tool_search" for tool in tools)
    if not searches and any(tool.get("defer_loading") for tool in every(tools)):
        raise Refused("Invalid Value: 'tools.defer_loading'. Deferred tools require tools.tool_search.")
    loaded = {
        name: tool for name, tool in functions.items() if name[0] is None and not tool.get("defer_loading")
    } | check_items(items, functions)
    number = next(numbers)
    item = reply(number, items, loaded, searches)
    kept[f"resp_{number}"] = items + [item]
    response = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": request["model"],
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 1,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 1,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 2,
        },
    }
    Response.model_validate(response)
    return response


def every(tools: list) -> list[dict]:
    return [each for tool in tools for each in [tool, *tool.get("tools", [])]]


def check_tools(tools: list, where: str) -> dict[Name, dict]:
    """Returns the functions."""
    functions: list[tuple[Name, dict]] = []
    for at, tool in enumerate(tools):
        place = f"{where}[{at}]"
        kind = TOOLS.get(tool.get("type"))
        if kind is None:
            raise Refused(f"Invalid value: {tool.get('type')!r} for '{place}.type'.")
        fits(tool, kind, place)
        if tool["type"] == "namespace":
            named(tool["name"], place)
            if not tool["tools"]:
                raise Refused(f"{place}.tools: a namespace needs a function")
            for inner, function in enumerate(tool["tools"]):
                fits(function, ToolFunction, f"{place}.tools[{inner}]")
                functions.append(((tool["name"], function["name"]), function))
        elif tool["type"] == "function":
            functions.append(((None, tool["name"]), tool))
    for (_, name), function in functions:
        named(name, where)
        schema_of_object(function.get("parameters") or {"type": "object"}, f"function '{name}'")
    unique([f"{space}.{name}" for (space, name), _ in functions], where)
    namespaces = [tool["name"] for tool in tools if tool["type"] == "namespace"]
    unique(namespaces, where)
    return dict(functions)


def check_items(items: list[dict], functions: dict[Name, dict]) -> dict[Name, dict]:
    """Returns the functions that searches found."""
    found: dict[Name, dict] = {}
    calls: dict[str, str] = {}
    for at, item in enumerate(items):
        kind = item.get("type", "message")
        call_id = item.get("call_id")
        if kind in ("function_call", "tool_search_call"):
            if not call_id:
                raise Refused(f"Missing required parameter: 'input[{at}].call_id'.")
            calls[call_id] = kind
            name = item.get("name")
            known = found | functions
            spaces = [space for space, each in known if each == name]
            if kind == "function_call" and spaces and item.get("namespace") not in spaces:
                raise Refused(
                    f"Missing namespace for function_call '{name}'. It does not exist in the default "
                    "namespace. Round-trip the model's function_call item with its namespace field included."
                )
        elif kind == "function_call_output":
            fits(item, FunctionCallOutput, f"input[{at}]")
            if calls.pop(call_id, None) != "function_call":
                raise Refused(f"No tool call found for function call output with call_id {call_id}.")
        elif kind == "tool_search_output":
            fits(item, ResponseToolSearchOutputItemParamParam, f"input[{at}]")
            if item.get("execution") != "client":
                raise Refused(f"Invalid value for 'input[{at}].execution': the search was the client's.")
            if calls.pop(call_id, None) != "tool_search_call":
                raise Refused(f"No tool search call found for tool search output with call_id {call_id}.")
            found |= check_tools(item["tools"], f"input[{at}].tools")
        elif kind == "message" and not item.get("role"):
            raise Refused(f"Missing required parameter: 'input[{at}].role'.")
    if calls:
        call_id, kind = calls.popitem()
        raise Refused(f"No tool output found for {kind.replace('_', ' ')} {call_id}.")
    return found


def reply(number: int, items: list[dict], loaded: dict[Name, dict], searches: bool) -> dict:
    done = [item for item in items if item.get("type", "").endswith("_call")]
    called = [item for item in done if item.get("name") not in (None, "search_tools")]
    if called:
        return message(number, f"The tool said: {output_of(items, called[-1]['call_id'])}")
    ids = {"id": f"item_{number}", "call_id": f"call_{number}", "status": "completed"}
    query = {"query": words(items)}
    if not done and searches:
        return {"type": "tool_search_call", **ids, "execution": "client", "arguments": query}
    call = {"type": "function_call", **ids}
    if not done and (None, "search_tools") in loaded:
        return {**call, "name": "search_tools", "arguments": json.dumps(query)}
    if (None, "call_tool") in loaded:
        tool = first_tool(output_of(items, done[-1]["call_id"]))
        schema = tool.get("definition", {}).get("inputSchema")
        arguments = {"id": tool["id"], "arguments": made_up(schema)}
        return {**call, "name": "call_tool", "arguments": json.dumps(arguments)}
    if not loaded or (None, "search_tools") in loaded:
        return message(number, "No tool was found.")
    (namespace, name), function = next(iter(loaded.items()))
    if namespace is not None:
        call["namespace"] = namespace
    return {**call, "name": name, "arguments": json.dumps(made_up(function.get("parameters")))}


def message(number: int, text: str) -> dict:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    of = {"id": f"item_{number}", "status": "completed", "role": "assistant"}
    return {"type": "message", **of, "content": content}


def words(items: list[dict]) -> str:
    content = next(item["content"] for item in items if item.get("role") == "user")
    return content if isinstance(content, str) else content[0]["text"]


def output_of(items: list[dict], call_id: str) -> str:
    outputs = (item for item in items if item.get("type") == "function_call_output")
    output = next(item["output"] for item in outputs if item["call_id"] == call_id)
    return output if isinstance(output, str) else output[0]["text"]


def first_tool(text: str) -> dict:
    """The first tool in a search's result, which SDKs may have wrapped as a content block."""
    found = json.loads(text)
    while "tools" not in found:
        found = json.loads((found[0] if isinstance(found, list) else found)["text"])
    return found["tools"][0]

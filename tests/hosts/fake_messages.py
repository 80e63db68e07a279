"""The Anthropic Messages API: tool use, and tool search by a tool of the client's own."""

import itertools
from typing import Any

from anthropic.types import (
    Message,
    TextBlockParam,
    ToolParam,
    ToolReferenceBlockParam,
    ToolResultBlockParam,
    ToolUseBlockParam,
)

from fake_rules import Refused, fits, made_up, named, schema_of_object, unique

MOST_TOOLS = 10_000
BLOCKS: dict[str, Any] = {
    "text": TextBlockParam,
    "tool_use": ToolUseBlockParam,
    "tool_result": ToolResultBlockParam,
}
numbers = itertools.count(1)


def error(message: str) -> dict:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


def answer(request: dict, headers: Any) -> dict:
    if not (headers.get("x-api-key") or headers.get("Authorization", "").startswith("Bearer ")):
        raise Refused("an API key is required", 401)
    if not headers.get("anthropic-version"):
        raise Refused("anthropic-version: header is required")
    for field in ("model", "max_tokens", "messages"):
        if field not in request:
            raise Refused(f"{field}: Field required")
    tools = check_tools(request.get("tools", []))
    found = check_messages(request["messages"], tools)
    number = next(numbers)
    content, stop = reply(number, request["messages"], tools, found)
    message = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [content],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    Message.model_validate(message)
    return message


def check_tools(tools: list) -> dict[str, dict]:
    if len(tools) > MOST_TOOLS:
        raise Refused(f"tools: at most {MOST_TOOLS} are allowed")
    for at, tool in enumerate(tools):
        where = f"tools.{at}.custom"
        fits(tool, ToolParam, where)
        named(tool["name"], where)
        schema_of_object(tool["input_schema"], f"{where}.input_schema")
    unique([tool["name"] for tool in tools], "tools")
    if tools and all(tool.get("defer_loading") for tool in tools):
        raise Refused("All tools have defer_loading set. At least one tool must be non-deferred.")
    return {tool["name"]: tool for tool in tools}


def check_messages(messages: list, tools: dict[str, dict]) -> list[str]:
    """Returns the names that were referenced, in their order."""
    if not messages or messages[0].get("role") != "user":
        raise Refused("messages: first message must use the \"user\" role")
    found: list[str] = []
    waiting: set[str] = set()
    for at, message in enumerate(messages):
        blocks = message["content"]
        blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
        answered = set()
        for number, block in enumerate(blocks):
            where = f"messages.{at}.content.{number}"
            kind = BLOCKS.get(block.get("type"))
            if kind is None:
                raise Refused(f"{where}: Input tag {block.get('type')!r} is not expected")
            fits(block, kind, where)
            if block["type"] == "text" and not block["text"]:
                raise Refused(f"{where}: text content blocks must be non-empty")
            if block["type"] == "tool_result":
                answered.add(block["tool_use_id"])
                found += references(block, tools, where)
        if answered - waiting:
            raise Refused(f"messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks")
        if waiting - answered:
            raise Refused(f"messages.{at}: `tool_use` ids were found without `tool_result` blocks")
        waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
    if waiting:
        raise Refused("messages: `tool_use` ids were found without `tool_result` blocks")
    return found


def references(result: dict, tools: dict[str, dict], where: str) -> list[str]:
    content = result.get("content", "")
    if isinstance(content, str):
        return []
    names = []
    for at, block in enumerate(content):
        place = f"{where}.tool_result.content.{at}"
        kind = {"text": TextBlockParam, "tool_reference": ToolReferenceBlockParam}
        if block.get("type") not in kind:
            raise Refused(f"{place}: Input tag {block.get('type')!r} is not expected")
        fits(block, kind[block["type"]], place)
        if block["type"] == "tool_reference":
            name = block["tool_name"]
            if name not in tools:
                raise Refused(f"Tool reference '{name}' has no corresponding tool definition")
            names.append(name)
    return names


def reply(number: int, messages: list, tools: dict[str, dict], found: list[str]) -> tuple[dict, str]:
    used = [
        (block["name"], block["id"])
        for message in messages
        if message["role"] == "assistant" and not isinstance(message["content"], str)
        for block in message["content"]
        if block["type"] == "tool_use"
    ]
    loaded = [name for name, tool in tools.items() if not tool.get("defer_loading")]
    search = next((name for name in loaded if "search" in name and len(loaded) < len(tools)), None)
    called = [id for name, id in used if name != search]
    if called:
        return {"type": "text", "text": f"The tool said: {said(messages, called[-1])}"}, "end_turn"
    if search and not used:
        words = messages[0]["content"]
        words = words if isinstance(words, str) else words[0]["text"]
        return use(number, search, {"query": words}), "tool_use"
    callable_now = found or [name for name in loaded if name != search]
    if not callable_now:
        return {"type": "text", "text": "No tool was found."}, "end_turn"
    tool = tools[callable_now[0]]
    return use(number, tool["name"], made_up(tool["input_schema"])), "tool_use"


def use(number: int, name: str, arguments: dict) -> dict:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments}


def said(messages: list, tool_use_id: str) -> str:
    for block in messages[-1]["content"]:
        if block["type"] == "tool_result" and block["tool_use_id"] == tool_use_id:
            content = block.get("content", "")
            return content if isinstance(content, str) else content[0]["text"]
    return "nothing"

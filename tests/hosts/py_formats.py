"""Reads results of toolscout (a JSON file: a list of `{"is": KIND, "value": …}`) and holds each
against the official SDKs' own types of what a request may have, unknown keys refused. Prints how
many of each kind were accepted; the first that is not is an error. Broken ones, one for each kind,
must be refused, or nothing is proven."""

import copy
import json
import re
import sys
from collections.abc import Iterable, Mapping

from anthropic.types import ToolParam, ToolResultBlockParam, ToolUnionParam
from anthropic.types.beta import BetaToolParam, BetaToolResultBlockParam
from anthropic.types.tool_reference_block_param import ToolReferenceBlockParam
from openai.types.responses import FunctionToolParam, ToolParam as OpenAIToolParam
from openai.types.responses import namespace_tool_param, tool_search_output_namespace_tool_param
from openai.types.responses.response_tool_search_output_item_param_param import (
    ResponseToolSearchOutputItemParamParam,
)
from openai.types.responses.tool_search_tool_param import ToolSearchToolParam
from pydantic import TypeAdapter, ValidationError

for strict in (
    ToolParam,
    BetaToolParam,
    ToolResultBlockParam,
    BetaToolResultBlockParam,
    ToolReferenceBlockParam,
    FunctionToolParam,
    ResponseToolSearchOutputItemParamParam,
    ToolSearchToolParam,
    namespace_tool_param.NamespaceToolParam,
    namespace_tool_param.ToolFunction,
    tool_search_output_namespace_tool_param.ToolSearchOutputNamespaceToolParam,
    tool_search_output_namespace_tool_param.ToolFunction,
):
    strict.__pydantic_config__ = {"extra": "forbid"}

KINDS = {
    "anthropic": [list[ToolParam], list[BetaToolParam], list[ToolUnionParam]],
    "tool_reference": [ToolResultBlockParam, BetaToolResultBlockParam],
    "openai": [list[FunctionToolParam]],
    "openai_list": [list[OpenAIToolParam]],
    "tool_search_output": [ResponseToolSearchOutputItemParamParam],
}
ADAPTERS = {kind: [TypeAdapter(of) for of in types] for kind, types in KINDS.items()}
SAFE = re.compile(r"[A-Za-z0-9_-]{1,64}")
KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
DATA = {"default", "const", "enum", "examples"}


def read_out(value: object) -> None:
    """What is iterable is checked only when it is iterated."""
    if isinstance(value, Mapping):
        for inner in value.values():
            read_out(inner)
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        for inner in value:
            read_out(inner)


def functions(kind: str, value: object) -> list[tuple[str, str, dict]]:
    """Name, description and schema of every tool in it."""
    if kind == "tool_reference":
        return []
    tools = value["tools"] if kind == "tool_search_output" else value
    flat = []
    for tool in tools:
        flat += tool["tools"] if tool.get("type") == "namespace" else [tool]
    schema = "input_schema" if kind == "anthropic" else "parameters"
    return [(t.get("name", "tool_search"), t["description"], t[schema]) for t in flat]


def no_list_without_items(schema: object) -> bool:
    if isinstance(schema, list):
        return all(map(no_list_without_items, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "array" and "items" not in schema:
        return False
    return all(no_list_without_items(inner) for key, inner in schema.items() if key not in DATA)


def check(kind: str, value: object) -> None:
    for adapter in ADAPTERS[kind]:
        read_out(adapter.validate_python(copy.deepcopy(value), strict=True))
    # What the APIs ask for beyond the types.
    tools = functions(kind, value)
    assert len({name for name, _, _ in tools}) == len(tools), "a name twice"
    for name, description, schema in tools:
        assert SAFE.fullmatch(name), name
        assert description.strip(), name
        assert schema["type"] == "object" and isinstance(schema["properties"], dict), name
        assert no_list_without_items(schema), name
        if kind == "anthropic":
            assert all(KEY.fullmatch(key) for key in schema["properties"]), name
        assert not {"anyOf", "oneOf", "allOf", "enum", "not"} & schema.keys(), name


FUNCTION = {"type": "function", "name": "x", "description": "y", "parameters": {"type": "object"}}
BROKEN = [
    ("anthropic", [{"name": "x", "description": "y"}]),
    ("anthropic", [{"name": "x", "input_schema": {"type": "object"}, "score": 1}]),
    ("tool_reference", {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "tool_reference"}]}),
    ("tool_reference", {"type": "tool_result", "content": []}),
    ("openai", [FUNCTION]),
    ("openai_list", [{"type": "namespace", "name": "x", "tools": [FUNCTION]}]),
    ("tool_search_output", {"type": "tool_search_output", "tools": [{"type": "namespace", "name": "x"}]}),
    (
        "tool_search_output",
        {
            "type": "tool_search_output",
            "tools": [
                {"type": "namespace", "name": "x", "description": "y", "tools": [{**FUNCTION, "score": 1}]}
            ],
        },
    ),
]


def main(path: str) -> None:
    for kind, value in BROKEN:
        try:
            check(kind, value)
        except (ValidationError, AssertionError, KeyError):
            continue
        sys.exit(f"a broken {kind} was accepted: {value}")
    accepted: dict[str, int] = {}
    with open(path) as file:
        for result in json.load(file):
            kind, value = result["is"], result["value"]
            try:
                check(kind, value)
            except (ValidationError, AssertionError) as error:
                sys.exit(f"{kind}: {error}\n{json.dumps(value)[:2000]}")
            accepted[kind] = accepted.get(kind, 0) + 1
    print(json.dumps(accepted))


main(sys.argv[1])

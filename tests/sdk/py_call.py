"""The official Python SDK as a client that calls a server's tool through toolscout: prints the
result, and what it heard of progress, as one JSON object."""

import asyncio
import json
import sys

from mcp import Client


async def main(url: str, mode: str, tool_id: str) -> None:
    steps = []

    async def heard(progress: float, _total: float | None, message: str | None) -> None:
        steps.append([progress, message])

    async with Client(url, mode=mode) as client:
        tools = (await client.list_tools()).tools
        arguments = {"id": tool_id, "arguments": {"a": 1}}
        result = await client.call_tool("call_tool", arguments, progress_callback=heard)
        seen = {"tools": [tool.name for tool in tools], "steps": steps}
        seen["result"] = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        print(json.dumps(seen))


asyncio.run(main(*sys.argv[1:]))

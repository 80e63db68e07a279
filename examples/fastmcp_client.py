"""FastMCP's client: finds tools by a need, and calls the best through toolscout if there are
arguments for it (`[call] enabled = true`).

    pip install fastmcp
    python fastmcp_client.py "find out how a payment went" '{"payment_id": "pay_1"}'
"""

import asyncio
import json
import os
import sys

from fastmcp import Client

TOOLSCOUT = os.environ.get("TOOLSCOUT_URL", "http://127.0.0.1:7420")


async def main(need: str, arguments: str | None = None) -> None:
    async with Client(f"{TOOLSCOUT}/mcp") as client:
        found = await client.call_tool("search_tools", {"query": need})
        tools = found.structured_content["tools"]
        for tool in tools:
            print(tool["id"], tool["confidence"])
        if arguments is not None:
            call = {"id": tools[0]["id"], "arguments": json.loads(arguments)}
            print((await client.call_tool("call_tool", call)).content[0].text)


asyncio.run(main(*sys.argv[1:]))

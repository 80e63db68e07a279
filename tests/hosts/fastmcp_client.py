"""FastMCP's client: connects to the MCP endpoint given as the argument in the given mode (`auto`
takes the newest era, `legacy` begins with `initialize`), lists the tools, calls them, and prints
what it saw as one JSON object."""

import asyncio
import json
import sys

from fastmcp import Client


async def main(url: str, mode: str, query: str, tool_id: str) -> None:
    async with Client(url, mode=mode) as client:
        tools = await client.list_tools()
        found = await client.call_tool("search_tools", {"query": query})
        got = await client.call_tool("get_tool", {"id": tool_id})
        refused = await client.call_tool("search_tools", {"query": ""}, raise_on_error=False)
        print(
            json.dumps(
                {
                    "server": client.server_info.name,
                    "protocol": client.protocol_version,
                    "instructions": client.instructions,
                    "tools": [tool.name for tool in tools],
                    "found": found.structured_content,
                    "foundText": json.loads(found.content[0].text),
                    "got": got.structured_content,
                    "refused": {"isError": refused.is_error, "text": refused.content[0].text},
                }
            )
        )


asyncio.run(main(*sys.argv[1:]))

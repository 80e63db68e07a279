"""An agent of the OpenAI Agents SDK with every tool that toolscout knows, over MCP.

It sees toolscout's few tools: it searches with search_tools and calls what it found with call_tool
(`[call] enabled = true`).

    pip install openai-agents
    python agents_sdk.py "give the customer their money back"
"""

import asyncio
import os
import sys

from agents import Agent, Runner
from agents.mcp import MCPServerStreamableHttp

TOOLSCOUT = os.environ.get("TOOLSCOUT_URL", "http://127.0.0.1:7420")
MODEL = os.environ.get("OPENAI_MODEL", "gpt-5.6")


async def main(need: str) -> None:
    params = {"url": f"{TOOLSCOUT}/mcp"}
    async with MCPServerStreamableHttp(params, name="toolscout", cache_tools_list=True) as server:
        agent = Agent(
            name="Assistant",
            model=MODEL,
            instructions="Find tools with search_tools, and call them with call_tool.",
            mcp_servers=[server],
        )
        result = await Runner.run(agent, need)
        print(result.final_output)


asyncio.run(main(sys.argv[1]))

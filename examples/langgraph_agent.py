"""A LangGraph agent with every tool that toolscout knows, over MCP.

It sees toolscout's few tools: it searches with search_tools and calls what it found with call_tool
(`[call] enabled = true`).

    pip install langchain langchain-mcp-adapters langchain-openai
    python langgraph_agent.py "give the customer their money back"
"""

import asyncio
import os
import sys

from langchain.agents import create_agent
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_openai import ChatOpenAI

TOOLSCOUT = os.environ.get("TOOLSCOUT_URL", "http://127.0.0.1:7420")
MODEL = os.environ.get("OPENAI_MODEL", "gpt-5.6")


async def main(need: str) -> None:
    servers = {"toolscout": {"transport": "streamable_http", "url": f"{TOOLSCOUT}/mcp"}}
    agent = create_agent(
        ChatOpenAI(model=MODEL, use_responses_api=True),
        await MultiServerMCPClient(servers).get_tools(),
        system_prompt="Find tools with search_tools, and call them with call_tool.",
    )
    result = await agent.ainvoke({"messages": [{"role": "user", "content": need}]})
    print(result["messages"][-1].text)


asyncio.run(main(sys.argv[1]))

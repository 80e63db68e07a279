"""Measures FastMCP or ratel-ai, in this process: libraries.py SYSTEM SET CATALOG QUERIES MOST [MODEL]

SYSTEM is fastmcp, ratel or ratel-hybrid, MODEL the folder of the latter's encoder. Prints a line of
JSON. Each system is given the server's name in the tool's name, in the form in which it names the
tools of several servers itself; without it ratel-ai finds less.
"""

import asyncio
import gc
import importlib.metadata
import json
import logging
import sys
import time

from common import LIMIT, cpu_ms, mean, recall, resident_mb, sample, tools


class FastMcp:
    package = "fastmcp"

    def __init__(self, _model):
        # It warns of every name with a "/"; its tokens end there as they do at "_".
        logging.disable(logging.WARNING)
        from fastmcp import Client, FastMCP
        from fastmcp.server.providers import Provider
        from fastmcp.server.transforms.search import BM25SearchTransform
        from fastmcp.tools.base import Tool

        class Catalog(Provider):
            """As a gateway has its tools; `add_tool` compares each with all before it."""

            def __init__(self):
                super().__init__()
                self.tools = []

            async def _list_tools(self):
                return self.tools

        self.tool, self.provider = Tool, Catalog()
        self.server = FastMCP("peers", providers=[self.provider])
        self.transform = BM25SearchTransform(max_results=LIMIT)
        self.client = Client(self.server)

    async def build(self, catalog):
        for name, tool in catalog:
            schema = tool.get("inputSchema") or {}
            self.provider.tools.append(self.tool(name=name, description=tool.get("description"), parameters=schema))
        self.server.add_transform(self.transform)
        await self.client.__aenter__()
        # It builds its index when it is first asked.
        await self.call("anything")

    async def rank(self, query):
        return [self.transform._indexed_names[i] for i in self.transform._index.query(query, LIMIT)]

    async def call(self, query):
        await self.client.call_tool("search_tools", {"query": query})


class Ratel:
    package, method = "ratel-ai", "bm25"

    def __init__(self, model):
        import ratel_ai

        embedding = {"local": model, "pooling": "mean"} if model else None
        self.library, self.catalog = ratel_ai, ratel_ai.ToolCatalog(method=self.method, embedding=embedding)
        self.search = ratel_ai.search_capabilities_tool(self.catalog)

    def entry(self, name, tool):
        return self.library.ExecutableTool(
            id=name,
            name=f"{tool['server']}__{tool['name']}",
            description=tool.get("description") or "",
            input_schema=tool.get("inputSchema") or {},
            output_schema=tool.get("outputSchema") or {},
            execute=lambda arguments: None,
        )

    async def build(self, catalog):
        await self.catalog.register(self.entry(name, tool) for name, tool in catalog)
        # It builds its index when it is first asked.
        await self.call("anything")

    async def rank(self, query):
        return [hit.tool_id for hit in await self.catalog.search_async(query, LIMIT)]

    async def call(self, query):
        await self.search.execute({"query": query, "topKTools": LIMIT})


class RatelHybrid(Ratel):
    method = "hybrid"


SYSTEMS = {"fastmcp": FastMcp, "ratel": Ratel, "ratel-hybrid": RatelHybrid}


async def main(system, name, catalog, queries, most, model=None):
    queries = sample(queries, int(most))
    empty_mb = resident_mb()
    peer = SYSTEMS[system](model)
    imported_mb = resident_mb()
    begun = time.process_time()
    await peer.build(tools(catalog))
    build_s = time.process_time() - begun
    # Also the warm-up.
    found = [recall(query, await peer.rank(query["query"])) for query in queries]
    gc.collect()
    memory_mb = resident_mb() - empty_mb
    row = {
        "system": f"{system} {importlib.metadata.version(peer.package)}",
        "set": name,
        "tools": sum(1 for _ in tools(catalog)),
        "queries": len(queries),
        "memory_mb": memory_mb,
        "imports_mb": imported_mb - empty_mb,
        "build_s": build_s,
        "rank_ms": await cpu_ms(peer.rank, queries),
        "call_ms": await cpu_ms(peer.call, queries),
        "recall": mean(found),
    }
    print(json.dumps(row))


asyncio.run(main(*sys.argv[1:]))

// The official TypeScript SDKs as clients: connect to the MCP endpoint given as the argument in the
// given mode (`auto` takes the newest era, `legacy` begins with `initialize`, `v1` is the SDK before
// the one of today), list the tools, call them, and print what they saw as one JSON object.
import * as v2 from '@modelcontextprotocol/client';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, mode, query, id] = process.argv.slice(2);
const sdk = mode === 'v1' ? { Client, StreamableHTTPClientTransport } : v2;
const about = { name: 'toolscout-tests', version: '1.0.0' };
const client = new sdk.Client(about, { versionNegotiation: { mode } });
const transport = new sdk.StreamableHTTPClientTransport(new URL(url));
await client.connect(transport);
const { tools } = await client.listTools();
// After listTools the SDK holds every result against the output schema it was given.
const found = await client.callTool({ name: 'search_tools', arguments: { query } });
const got = await client.callTool({ name: 'get_tool', arguments: { id } });
const refused = await client.callTool({ name: 'search_tools', arguments: { query: '' } });
console.log(
  JSON.stringify({
    server: client.getServerVersion().name,
    protocol: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion,
    instructions: client.getInstructions(),
    tools: tools.map((tool) => tool.name),
    found: found.structuredContent,
    foundText: JSON.parse(found.content[0].text),
    got: got.structuredContent,
    refused: { isError: refused.isError, text: refused.content[0].text },
  }),
);
await client.close();

// The official TypeScript SDK as a client: connects to the MCP endpoint given as the argument,
// lists the tools, calls them, and prints what it saw as one JSON object.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, query, id] = process.argv.slice(2);
const client = new Client({ name: 'toolscout-tests', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const { tools } = await client.listTools();
// After listTools the SDK holds every result against the output schema it was given.
const found = await client.callTool({ name: 'search_tools', arguments: { query } });
const got = await client.callTool({ name: 'get_tool', arguments: { id } });
const refused = await client.callTool({ name: 'search_tools', arguments: { query: '' } });
console.log(
  JSON.stringify({
    server: client.getServerVersion().name,
    instructions: client.getInstructions(),
    tools: tools.map((tool) => tool.name),
    found: found.structuredContent,
    foundText: JSON.parse(found.content[0].text),
    got: got.structuredContent,
    refused: { isError: refused.isError, text: refused.content[0].text },
  }),
);
await client.close();

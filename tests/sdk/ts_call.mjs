// The official TypeScript SDK as a client that calls a server's tool through toolscout: prints the
// result, and what it heard of progress, as one JSON object.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, id] = process.argv.slice(2);
const client = new Client({ name: 'toolscout-tests', version: '1.0.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const { tools } = await client.listTools();
const steps = [];
const params = { name: 'call_tool', arguments: { id, arguments: { a: 1 } } };
const onprogress = (step) => steps.push([step.progress, step.message]);
const result = await client.callTool(params, undefined, { onprogress });
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), result, steps }));
await client.close();

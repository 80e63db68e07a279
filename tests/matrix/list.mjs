// The official TypeScript SDK lists the tools of a server, page by page, and prints their names:
// what toolscout found is held against it.
// Usage: node list.mjs stdio COMMAND ARG… | http URL | sse URL; BEARER may hold a token.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [kind, target, ...args] = process.argv.slice(2);
const { BEARER } = process.env;
const requestInit = BEARER ? { headers: { Authorization: `Bearer ${BEARER}` } } : {};
const transports = {
  stdio: () => new StdioClientTransport({ command: target, args, env: process.env, stderr: 'ignore' }),
  http: () => new StreamableHTTPClientTransport(new URL(target), { requestInit }),
  sse: () => new SSEClientTransport(new URL(target), { requestInit }),
};
const client = new Client({ name: 'toolscout-matrix', version: '1.0.0' });
await client.connect(transports[kind](), { timeout: 45_000 });
const names = [];
let cursor;
do {
  const page = await client.listTools(cursor === undefined ? {} : { cursor });
  names.push(...page.tools.map((tool) => tool.name));
  cursor = page.nextCursor;
} while (cursor !== undefined);
console.log(JSON.stringify(names));
await client.close();
process.exit(0);

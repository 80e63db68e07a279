// The official TypeScript SDK as a client that waits for news of the tool list: says "listening"
// once its stream is open, and "changed" when it is told.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';

const client = new Client({ name: 'toolscout-tests', version: '1.0.0' });
client.setNotificationHandler(ToolListChangedNotificationSchema, async () => {
  console.log('changed');
  process.exit(0);
});
const watching = async (url, init) => {
  const response = await fetch(url, init);
  if (init.method === 'GET' && response.ok) console.log('listening');
  return response;
};
const url = new URL(process.argv[2]);
await client.connect(new StreamableHTTPClientTransport(url, { fetch: watching }));
if (client.getServerCapabilities().tools.listChanged !== true) throw new Error('no news promised');

// An OAuth 2.1 authorization server (oidc-provider) and an MCP server that takes its tokens (the
// official SDK), on two free ports of loopback. Prints one line of JSON that says where they are.
//
// Everybody is logged in and says yes at once. POST /control at the MCP server with JSON changes
// what the two do; GET /control tells what they were asked.
import { createServer } from "node:http";
import Provider from "oidc-provider";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";

const mode = {
  consent: true, // say yes at the consent page
  pkce: true, // tell of PKCE in the metadata
  wrongIssuer: false, // the redirect says that somebody else answers
  metadataIssuer: false, // the metadata do
  audience: null, // tokens are for this one instead
  format: "opaque", // or "jwt"
  ttl: 3600, // seconds of an access token
  need: "tools:read", // the scope that the MCP server wants
  registration: true, // tell of dynamic registration
  fails: null, // the token endpoint answers 503 to this grant
  hold: null, // the token endpoint does what this grant asks, and answers when this is over
  endpoint: null, // the metadata name this token endpoint instead
  lists: "all", // "mine": a listing for this login alone; "none": 503
  gone: null, // the MCP server answers everything with this status, 200 being a page for people
  hidden: false, // only the refusal of a POST says where the resource's metadata are
  as: null, // the resource's metadata name this authorization server instead
  resource: null, // they are about this resource instead
};
const counts = { code: 0, refresh: 0, machine: 0, register: 0, reused: 0, list: 0, refused: 0 };

const listen = async (handler) => {
  const server = createServer(handler);
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return [server, `http://127.0.0.1:${server.address().port}`];
};

let answerAs = null;
const [, as] = await listen((req, res) => answerAs(req, res));
let answerMcp = null;
const [, mcp] = await listen((req, res) => answerMcp(req, res));
const resource = `${mcp}/mcp`;
const resources = { mcp: resource, sse: `${mcp}/sse` };

const provider = new Provider(as, {
  clients: [
    {
      client_id: "machine",
      client_secret: "machine-secret-0123456789",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: "client_secret_post",
    },
    {
      client_id: "known",
      client_secret: "known-secret-0123456789",
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: ["http://127.0.0.1/callback"],
      application_type: "native",
      token_endpoint_auth_method: "client_secret_basic",
    },
    {
      // A page in a browser. A native client's redirect may have any port of loopback.
      client_id: "console",
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: ["http://127.0.0.1/login"],
      application_type: "native",
      token_endpoint_auth_method: "none",
    },
  ],
  clientBasedCORS: (_, __, client) => client.clientId === "console",
  scopes: ["openid", "offline_access", "tools:read", "tools:admin"],
  pkce: { required: () => true },
  ttl: {
    AccessToken: () => mode.ttl,
    ClientCredentials: () => mode.ttl,
    Grant: 86400,
    Interaction: 600,
    Session: 86400,
    RefreshToken: 86400,
  },
  cookies: { keys: ["only for tests"] },
  rotateRefreshToken: true,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    revocation: { enabled: true },
    clientCredentials: { enabled: true },
    rpInitiatedLogout: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, asked) => ({
        scope: "tools:read tools:admin",
        audience: mode.audience ?? asked,
        accessTokenFormat: mode.format,
        jwt: { sign: { alg: "RS256" } },
        accessTokenTTL: mode.ttl,
      }),
    },
  },
});
provider.proxy = false;

const given = { access: new Set(), refresh: new Set() };
provider.on("access_token.saved", (token) => given.access.add(token));
provider.on("refresh_token.saved", (token) => given.refresh.add(token));
provider.on("grant.revoked", () => counts.reused++);

provider.use(async (ctx, next) => {
  if (ctx.path === "/token" && ctx.method === "POST" && mode.fails) {
    const body = await new Promise((done) => {
      let text = "";
      ctx.req.on("data", (chunk) => (text += chunk)).on("end", () => done(text));
    });
    if (body.includes(`grant_type=${mode.fails}`)) {
      ctx.status = 503;
      return;
    }
    ctx.req.body = Object.fromEntries(new URLSearchParams(body));
  }
  await next();
  const grant = ctx.path === "/token" && ctx.oidc?.params?.grant_type;
  if (grant === "authorization_code") counts.code++;
  if (grant === "refresh_token") counts.refresh++;
  if (grant === "client_credentials") counts.machine++;
  if (ctx.path === "/reg") counts.register++;
  while (grant && grant === mode.hold) await new Promise((done) => setTimeout(done, 10));
  if (ctx.path.includes("/.well-known/") && ctx.body && typeof ctx.body === "object") {
    const body = { ...ctx.body };
    if (!mode.pkce) delete body.code_challenge_methods_supported;
    if (!mode.registration) delete body.registration_endpoint;
    if (mode.metadataIssuer) body.issuer = "https://elsewhere.example";
    if (mode.endpoint) body.token_endpoint = mode.endpoint;
    ctx.body = body;
  }
  const to = ctx.response.get("location");
  if (mode.wrongIssuer && to?.includes("iss=")) {
    ctx.set("location", to.replace(/iss=[^&]*/, "iss=https%3A%2F%2Felsewhere.example"));
  }
});

// What a person would do at the pages of the authorization server.
const interact = async (req, res) => {
  const { prompt, params, session, grantId } = await provider.interactionDetails(req, res);
  if (prompt.name === "login") {
    const result = { login: { accountId: "somebody" } };
    return provider.interactionFinished(req, res, result);
  }
  if (!mode.consent) {
    const result = { error: "access_denied", error_description: "the user said no" };
    return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
  }
  const { Grant } = provider;
  const grant = grantId
    ? await Grant.find(grantId)
    : new Grant({ accountId: session.accountId, clientId: params.client_id });
  const wanted = (params.scope ?? "").split(" ");
  const ours = wanted.filter((scope) => scope.startsWith("tools:"));
  // Scopes that are listed have to be granted as such, or it asks for ever.
  if (wanted.length) grant.addOIDCScope(wanted.join(" "));
  if (ours.length) grant.addResourceScope(params.resource ?? resource, ours.join(" "));
  await provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } });
};

const callback = provider.callback();
answerAs = (req, res) =>
  req.url.startsWith("/interaction/")
    ? interact(req, res).catch((error) => res.writeHead(500).end(String(error)))
    : callback(req, res);

const tools = () => {
  const server = new McpServer({ name: "guarded", version: "1.0.0" });
  server.registerTool("read_ledger", { description: "Reads the ledger of a month" }, () => ({
    content: [],
  }));
  return server;
};

// RFC 9728 metadata; 401 and 403 as RFC 6750 has them.
const refuse = (res, name, status, error, scope) => {
  counts.refused++;
  const folder = mode.hidden ? "/hidden" : "/.well-known/oauth-protected-resource";
  const parts = [`resource_metadata="${mcp}${folder}/${name}"`];
  if (error) parts.unshift(`error="${error}"`);
  if (scope) parts.push(`scope="${scope}"`);
  res.writeHead(status, { "www-authenticate": `Bearer ${parts.join(", ")}` }).end();
};
const guard = async (req, res, name = "mcp") => {
  const token = /^Bearer (.+)$/i.exec(req.headers.authorization ?? "")?.[1];
  if (!token) return refuse(res, name, 401, null, mode.need);
  const found =
    (await provider.AccessToken.find(token)) ?? (await provider.ClientCredentials.find(token));
  if (!found || found.isExpired || ![found.aud].flat().includes(resources[name])) {
    return refuse(res, name, 401, "invalid_token");
  }
  const has = (found.scope ?? "").split(" ");
  if (!mode.need.split(" ").every((scope) => has.includes(scope))) {
    return refuse(res, name, 403, "insufficient_scope", mode.need);
  }
  return true;
};

const body = (req) =>
  new Promise((done) => {
    let text = "";
    req.on("data", (chunk) => (text += chunk)).on("end", () => done(text ? JSON.parse(text) : {}));
  });
const json = (res, value) =>
  res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
const streams = new Map();

answerMcp = async (req, res) => {
  const url = new URL(req.url, mcp);
  if (url.pathname === "/control") {
    if (req.method === "POST") {
      const { revoke, revokeAccess, ...change } = await body(req);
      Object.assign(mode, change);
      for (const token of revoke || revokeAccess ? given.access : []) await token.destroy();
      for (const token of revoke ? given.refresh : []) await token.destroy();
    }
    return json(res, { ...counts, mode });
  }
  if (mode.gone) {
    return res.writeHead(mode.gone, { "content-type": "text/html" }).end("<p>Come back later</p>");
  }
  if (url.pathname.startsWith(mode.hidden ? "/hidden" : "/.well-known/oauth-protected-resource")) {
    return json(res, {
      resource: mode.resource ?? (url.pathname.endsWith("/sse") ? resources.sse : resource),
      authorization_servers: [mode.as ?? as],
      scopes_supported: ["tools:read"],
      bearer_methods_supported: ["header"],
    });
  }
  if (url.pathname === "/mcp" && req.method === "POST") {
    if (!(await guard(req, res))) return;
    const message = await body(req);
    if (message.method === "tools/list") {
      counts.list++;
      if (mode.lists === "none") return res.writeHead(503).end();
      if (mode.lists === "mine") {
        const tools = [{ name: "diary", inputSchema: { type: "object" } }];
        const result = { tools, ttlMs: 3_600_000, cacheScope: "private" };
        return json(res, { jsonrpc: "2.0", id: message.id, result });
      }
    }
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: undefined,
      enableJsonResponse: true,
    });
    await tools().connect(transport);
    return transport.handleRequest(req, res, message);
  }
  if (url.pathname === "/sse" && req.method === "GET") {
    if (!(await guard(req, res, "sse"))) return;
    const transport = new SSEServerTransport("/messages", res);
    streams.set(transport.sessionId, transport);
    return tools().connect(transport);
  }
  if (url.pathname === "/messages" && req.method === "POST") {
    if (!(await guard(req, res, "sse"))) return;
    const transport = streams.get(url.searchParams.get("sessionId"));
    const message = await body(req);
    if (message.method === "tools/list") counts.list++;
    return transport.handlePostMessage(req, res, message);
  }
  res.writeHead(url.pathname === "/mcp" || url.pathname === "/sse" ? 405 : 404).end();
};

console.log(JSON.stringify({ as, mcp }));

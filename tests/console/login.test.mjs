// Who one is: by a key, by an authorization server, by the address that `toolscout console` prints.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { catalogOf, checkAccess, closeBrowser, command, openPage, startIssuer, startServer, until } from "./support.mjs";

after(closeBrowser);

const CATALOG = catalogOf("mail", { name: "send_mail", description: "Send an e-mail" });
const FILES = { "catalog.jsonl": CATALOG };
const SERVERS = "[servers.files]\ncatalog = 'catalog.jsonl'\n";
const KEYS = `[auth]\nkeys = true\n${SERVERS}`;
// A refusal is told in the browser's console as well.
const expected = [/status of 40[13]/];

/** What is left in the browser that could tell somebody who one was. */
const kept = (page) => page.evaluate(() => ({ local: JSON.stringify(localStorage), session: JSON.stringify(sessionStorage), cookie: document.cookie, url: location.href }));

test("a key logs in, a wrong one is told as such, and one that is revoked leads back to the login", async (t) => {
  const server = await startServer(t, { config: KEYS, files: FILES });
  const made = JSON.parse(await command(server, ["key", "create", "somebody", "--json"]));
  const page = await openPage(t, server, "/servers", { expected });
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await checkAccess(page);

  await page.getByLabel("API key").fill("tsk_nothing");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "does not count here" }).waitFor();
  // The service looks at its keys every so often.
  const status = async () => (await fetch(`${server.url}/v1/me`, { headers: { authorization: `Bearer ${made.secret}` } })).status;
  await until(async () => (await status()) === 200, "the key counts");
  await page.getByLabel("API key").fill(made.secret);
  await page.keyboard.press("Enter");
  await page.getByText("1 tool ·").waitFor();
  assert.equal(new URL(page.url()).pathname, "/servers");
  const { local, session, cookie, url } = await kept(page);
  assert.ok(session.includes(made.secret));
  assert.ok(!`${local} ${cookie} ${url}`.includes(made.secret));

  // Whichever request is refused first, it leads there and says why.
  await command(server, ["key", "revoke", made.id]);
  await until(async () => (await status()) === 401, "the key counts no more");
  await page.getByRole("link", { name: "Activity" }).click();
  await page.getByRole("alert").filter({ hasText: "does not count here" }).waitFor();
  assert.ok(!(await kept(page)).session.includes(made.secret));
  assert.ok(!server.log().includes(made.secret));
});

test("the address of “toolscout console” logs an operator in, and leaves no trace of the token", async (t) => {
  const server = await startServer(t, { config: `${SERVERS}[profiles.mail]\nservers = ['mail']\n[profiles.none]\nservers = ['x']\n`, files: FILES });
  const printed = await command(server, ["console", "--url", server.url]);
  const token = await server.operator();
  assert.equal(printed.trim(), `${server.url}/#key=${token}`);
  const sent = [];
  const page = await openPage(t, { url: "" }, "about:blank");
  page.on("request", (request) => sent.push(request.url()));
  await page.goto(printed.trim());
  await page.getByRole("button", { name: "Log out" }).waitFor();
  const { local, cookie, url } = await kept(page);
  assert.ok(!`${local} ${cookie} ${url} ${sent}`.includes(token));
  assert.equal(url, `${server.url}/`);

  // An address that anybody could have made does not make somebody else of whoever is logged in.
  let asked = 0;
  page.once("dialog", (dialog) => dialog.dismiss(++asked));
  await page.goto(`${server.url}/#key=tsk_another`);
  await until(async () => asked === 1 && !page.url().includes("tsk_another"), "it was asked about");
  assert.ok((await kept(page)).session.includes(token));

  // What a profile shows can be looked at, and stays chosen.
  await page.getByText("1 tool ·").waitFor();
  await page.getByRole("combobox", { name: "Profile" }).selectOption("none");
  await page.getByText("0 tools ·").waitFor();
  await page.reload();
  await page.getByText("0 tools ·").waitFor();
  await checkAccess(page);
  await page.getByRole("combobox", { name: "Profile" }).selectOption({ label: "all tools" });
  await page.getByText("1 tool ·").waitFor();

  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("button", { name: "Log in" }).waitFor();
  assert.equal((await kept(page)).session, "{}");
  assert.ok(!server.log().includes(token));
});

test("an operator looks at what a tenant has, and the tenant's people at nothing else", async (t) => {
  const two = CATALOG + CATALOG.replaceAll("send_mail", "read_mail");
  const files = { ...FILES, "two.jsonl": two, "acme.toml": "[servers.files]\ncatalog = 'two.jsonl'\n" };
  const server = await startServer(t, { config: `${KEYS}[tenants.acme]\nconfig = 'acme.toml'\n`, files });
  const serves = async () => {
    const asked = { headers: { authorization: `Bearer ${await server.operator()}` } };
    const { tenants } = await (await fetch(`${server.url}/v1/admin/tenants`, asked)).json();
    return tenants[0]?.tools === 2;
  };
  await until(serves, "the tenant is served");
  const printed = await command(server, ["console", "--url", server.url, "--tenant", "acme"]);
  const page = await openPage(t, { url: "" }, "about:blank");
  await page.goto(printed.trim());
  await page.getByText("2 tools ·").waitFor();
  assert.equal(await page.getByLabel("Tenant").inputValue(), "acme");
  await page.getByLabel("Tenant").selectOption({ label: "no tenant" });
  await page.getByText("1 tool ·").waitFor();
  await page.getByLabel("Tenant").selectOption("acme");
  await page.getByText("2 tools ·").waitFor();

  const made = JSON.parse(await command(server, ["key", "create", "them", "--tenant", "acme", "--json"]));
  const status = async () => (await fetch(`${server.url}/v1/me`, { headers: { authorization: `Bearer ${made.secret}` } })).status;
  await until(async () => (await status()) === 200, "the key counts");
  const theirs = await openPage(t, server, "/", { expected });
  await theirs.getByLabel("API key").fill(made.secret);
  await theirs.keyboard.press("Enter");
  await theirs.getByText("2 tools ·").waitFor();
  assert.equal(await theirs.getByRole("combobox").count(), 0);
});

test("where nobody is asked, one logs in to administer alone", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/", { expected });
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("Everybody may search here").waitFor();
  await checkAccess(page);
  await page.getByLabel("Operator’s token").fill("0123");
  await page.getByLabel("Operator’s token").press("Enter");
  await page.getByRole("alert").filter({ hasText: "not the token of this toolscout" }).waitFor();
  await page.getByLabel("Operator’s token").fill(await server.operator());
  await page.getByLabel("Operator’s token").press("Enter");
  await page.getByRole("button", { name: "Log out" }).waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("button", { name: "Not now" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor({ state: "detached" });
});

const trusting = (issuer) => `[auth]
resource = 'https://tools.test/mcp'
[[auth.issuers]]
url = '${issuer.as}'
allow_private_addresses = true
leeway = '1s'
scopes = { 'tools:read' = 'search', 'tools:admin' = 'admin' }
console = { client_id = 'console', scopes = ['tools:read', 'offline_access'] }
${SERVERS}`;

test("one logs in at an authorization server, is renewed there, and logs out there", async (t) => {
  const issuer = await startIssuer(t);
  await issuer.control({ format: "jwt", ttl: 3600 });
  const server = await startServer(t, { config: trusting(issuer), files: FILES });
  const page = await openPage(t, server, "/catalog?x=1", { expected });
  const sent = [];
  page.on("request", (request) => sent.push(request.url()));
  const enter = page.getByRole("button", { name: `Log in at ${new URL(issuer.as).host}` });
  await enter.waitFor();
  await checkAccess(page);
  await enter.click();
  await page.getByText("1 tool ·").waitFor();
  assert.equal(page.url(), `${server.url}/catalog?x=1`);
  const { token } = JSON.parse(await page.evaluate(() => sessionStorage.getItem("toolscout.credential")));
  assert.equal((await fetch(`${server.url}/v1/me`, { headers: { authorization: `Bearer ${token}` } })).status, 200);
  // What was to be proved was proved, and is of no use any more.
  assert.equal(await page.evaluate(() => sessionStorage.getItem("toolscout.login")), null);
  // Nothing that proves anything went to toolscout in an address: the code came in the fragment.
  assert.deepEqual(sent.filter((url) => url.startsWith(server.url) && new URL(url).search.includes("code=")), []);
  assert.ok(!sent.join().includes(token));
  const { local, cookie } = await kept(page);
  assert.ok(!`${local} ${cookie}`.includes(token));

  // Near its end the token is replaced, and nobody is asked.
  await page.evaluate(() => {
    const kept = JSON.parse(sessionStorage.getItem("toolscout.credential"));
    kept.grant.until = Date.now();
    sessionStorage.setItem("toolscout.credential", JSON.stringify(kept));
  });
  await page.reload();
  await page.getByText("1 tool ·").waitFor();
  const after = JSON.parse(await page.evaluate(() => sessionStorage.getItem("toolscout.credential")));
  assert.notEqual(after.token, token);
  assert.ok(after.grant.until > Date.now());
  assert.equal((await issuer.control()).refresh, 1);

  await page.getByRole("button", { name: "Log out" }).click();
  await enter.waitFor();
  await until(async () => {
    const body = new URLSearchParams({ grant_type: "refresh_token", client_id: "console", refresh_token: after.grant.refresh });
    return (await fetch(`${issuer.as}/token`, { method: "POST", body })).status === 400;
  }, "the grant is revoked");
});

test("a login that fails says why, and an answer to nobody's question is refused", async (t) => {
  const issuer = await startIssuer(t);
  await issuer.control({ format: "jwt", consent: false });
  const server = await startServer(t, { config: trusting(issuer), files: FILES });
  const page = await openPage(t, server, "/", { expected });
  await page.getByRole("button", { name: "Log in at" }).click();
  await page.getByRole("alert").filter({ hasText: "the user said no" }).waitFor();
  await checkAccess(page);
  // Somebody else's answer, that another page has the browser bring.
  await page.goto(`${server.url}/login?code=theirs&state=theirs&iss=${issuer.as}`);
  await page.getByRole("alert").filter({ hasText: "no login was begun in this tab" }).waitFor();
  assert.equal(page.url(), `${server.url}/login`);
  assert.equal(await page.evaluate(() => sessionStorage.getItem("toolscout.credential")), null);
  await page.getByRole("link", { name: "Begin again" }).click();
  await page.getByRole("button", { name: "Log in at" }).waitFor();
});

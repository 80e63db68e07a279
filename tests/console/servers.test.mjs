// The page of the servers, over real ones.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { catalogOf, checkAccess, checkWidth, closeBrowser, openPage, startIssuer, startServer, until } from "./support.mjs";

after(closeBrowser);

const tool = (name, description, server = "shop") => catalogOf(server, { name, description });
const SHOP = `[servers.files]\ncatalog = 'shop.jsonl'\nrefresh = '1s'\n`;
const row = (page, id) => page.locator(`[data-server="${id}"]`);

test("what happens to servers is seen as it happens", async (t) => {
  const server = await startServer(t, { config: SHOP, files: { "shop.jsonl": tool("buy", "Buy a book") } });
  const page = await openPage(t, server, "/servers?server=shop");
  await row(page, "shop").getByText("1 tool").waitFor();
  // Nobody crawls it: what there is to do is done to the file.
  await page.getByText("read again when it changes").waitFor();
  assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 0);
  await page.getByRole("status").filter({ hasText: "1 server, 1 tool, 1 ready" }).waitFor();

  await writeFile(join(server.folder, "shop.jsonl"), tool("buy", "Buy a book") + tool("sell", "Sell a book") + tool("ring", "Ring", "bell"));
  await row(page, "shop").getByText("2 tools").waitFor();
  await row(page, "bell").getByText("1 tool").waitFor();

  await writeFile(join(server.folder, "shop.jsonl"), tool("ring", "Ring", "bell"));
  await page.getByRole("heading", { name: "This server is no longer there" }).waitFor();
  assert.equal(await row(page, "shop").count(), 0);
  await checkAccess(page);
});

test("whoever is no operator is told what it takes, and may log in", async (t) => {
  const server = await startServer(t, { config: `[servers.clock]\ncommand = '${process.execPath}'\nargs = ['clock.mjs']\n`, files: { "clock.mjs": CLOCK } });
  const page = await openPage(t, server, "/servers?server=clock", { expected: [/401/] });
  await row(page, "clock").getByText("ready").waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("admin.token").waitFor();
  await checkAccess(page);
  await page.getByRole("region", { name: "The chosen server" }).getByRole("button", { name: "Log in" }).click();
  await page.getByLabel("Operator’s token").fill(await server.operator());
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Its crawls are paused").waitFor();
});

test("an operator pauses, resumes and crawls", async (t) => {
  const config = `${SHOP}[servers.clock]\ncommand = '${process.execPath}'\nargs = ['clock.mjs']\n`;
  const server = await startServer(t, { config, files: { "shop.jsonl": tool("buy", "Buy a book"), "clock.mjs": CLOCK } });
  const page = await openPage(t, server, `/servers?server=clock#key=${await server.operator()}`);
  await row(page, "clock").getByText("ready").waitFor();
  await page.getByText("MCP 2025-06-18, with sessions").waitFor();
  const detail = page.getByRole("region", { name: "The chosen server" });
  await detail.getByRole("button", { name: "Pause" }).click();
  await detail.getByText("Its crawls are paused").waitFor();
  await row(page, "clock").getByText("paused").waitFor();
  assert.equal(await detail.getByRole("button", { name: "Crawl now" }).isDisabled(), true);
  await detail.getByRole("button", { name: "Resume" }).click();
  await row(page, "clock").getByText("ready").waitFor();
  await detail.getByRole("button", { name: "Crawl now" }).click();
  await detail.getByText(/It (is being|was) crawled/).waitFor();
  const crawls = async () => (await fetch(`${server.url}/metrics`)).text().then((text) => Number(text.match(/toolscout_crawls_total\{outcome="listed"\} (\d+)/)?.[1]));
  await until(async () => (await crawls()) >= 3, "it was crawled again");
  await checkAccess(page);
});

test("a login at a server is begun here, and its tools are there when it has ended", async (t) => {
  const { mcp: upstream } = await startIssuer(t);
  const config = `[servers.guarded]\nurl = '${upstream}/mcp'\nrefresh = '1h'\n`;
  const server = await startServer(t, { config: `${config}${SHOP}`, files: { "shop.jsonl": tool("buy", "Buy a book") } });
  const page = await openPage(t, server, "/servers?server=guarded");
  await row(page, "guarded").getByText("login needed").waitFor();
  await checkAccess(page);
  const opened = page.waitForEvent("popup");
  await page.getByRole("link", { name: "Log in", exact: true }).click();
  await (await opened).getByText("logged in at guarded").waitFor();
  await row(page, "guarded").getByText("ready").waitFor();
  await row(page, "guarded").getByText("1 tool").waitFor();

  // Where everybody is asked, an operator has an address made for it, which counts once.
  const asking = await startServer(t, { config: `${config}${SHOP}[auth]\nkeys = true\n`, files: { "shop.jsonl": tool("buy", "Buy a book") } });
  const operators = await openPage(t, asking, `/servers?server=guarded#key=${await asking.operator()}`);
  await row(operators, "guarded").getByText("login needed").waitFor();
  await operators.getByRole("button", { name: "Log in", exact: true }).click();
  const next = operators.waitForEvent("popup");
  await operators.getByRole("link", { name: "Open the login" }).click();
  await (await next).getByText("logged in at guarded").waitFor();
  await row(operators, "guarded").getByText("ready").waitFor();
});

test("a server that can't be reached says why and what to do", async (t) => {
  const config = `${SHOP}[servers.gone]\nurl = 'http://127.0.0.1:9/mcp'\n`;
  const server = await startServer(t, { config, files: { "shop.jsonl": tool("buy", "Buy a book") } });
  const page = await openPage(t, server, "/servers");
  await row(page, "gone").getByText("failed").waitFor();
  await page.getByText("1 in trouble").waitFor();
  // Those in trouble come first, whatever they are called.
  assert.equal(await page.locator("[data-server]").first().getAttribute("data-server"), "gone");
  await row(page, "gone").click();
  const alert = page.getByRole("alert");
  await alert.getByText("check that it runs and that its `url` is right").waitFor();
  await page.getByText("toolscout doctor").waitFor();
  await page.getByText(/^none has succeeded yet; it is tried again (in \d+ (s|min)|now)$/).waitFor();
  await until(() => new URL(page.url()).search === "?server=gone", "the address has it");
  await checkAccess(page);
});

test("a definition that is held is looked at and approved", async (t) => {
  const config = `[servers.clock]\ncommand = '${process.execPath}'\nargs = ['clock.mjs']\nrefresh = '1s'\npin = true\n`;
  const server = await startServer(t, { config, files: { "clock.mjs": CLOCK } });
  const page = await openPage(t, server, `/servers?server=clock#key=${await server.operator()}`);
  await row(page, "clock").getByText("ready").waitFor();
  await writeFile(join(server.folder, "clock.mjs"), CLOCK.replace("Tells the time", "Tells the date"));
  await page.getByRole("heading", { name: "1 definition is held back" }).waitFor();
  await page.locator(".held summary").click();
  await page.locator(".held del").getByText("Tells the time").waitFor();
  await page.locator(".held ins").getByText("Tells the date").waitFor();
  await checkAccess(page);
  await page.getByRole("button", { name: "Approve" }).click();
  await page.locator(".held").waitFor({ state: "detached" });
  const { definition } = await (await fetch(`${server.url}/v1/tools/clock/time`)).json();
  assert.equal(definition.description, "Tells the date");
});

test("a server is added, by keys alone", async (t) => {
  const server = await startServer(t, { config: SHOP, files: { "shop.jsonl": tool("buy", "Buy a book") } });
  const page = await openPage(t, server, `/servers#key=${await server.operator()}`, { expected: [/409/] });
  await row(page, "shop").waitFor();
  await page.getByRole("button", { name: "Add a server" }).focus();
  await page.keyboard.press("Enter");
  await page.getByLabel("Id").fill("files");
  await page.getByLabel("Address").fill("http://127.0.0.1:9/mcp");
  await page.keyboard.press("Enter");
  // Its name is taken: it says so, and what was typed stays.
  await page.getByRole("dialog").getByRole("alert").waitFor();
  await checkAccess(page);
  await page.getByLabel("Id").fill("nobody");
  await page.keyboard.press("Enter");
  const chosen = page.getByRole("region", { name: "The chosen server" });
  await chosen.getByRole("status").getByText("nobody is added.").waitFor();
  await chosen.and(page.locator(":focus")).waitFor();
  await chosen.getByRole("alert").waitFor();
  await row(page, "nobody").getByText("failed").waitFor();
  await until(() => new URL(page.url()).searchParams.get("server") === "nobody", "the address has it");
  await checkAccess(page);
  await row(page, "shop").click();
  await page.getByText("nobody is added.").waitFor({ state: "detached" });
});

test("lists are walked by keys, filtered, and say when nothing is left", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/servers");
  await page.getByRole("listbox").focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  const second = await page.locator("[aria-selected=true] [data-server]").getAttribute("data-server");
  await until(() => new URL(page.url()).searchParams.get("server") === second, "the address has it");
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "The chosen server" }).and(page.locator(":focus")).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("heading", { name: "No server is chosen" }).waitFor();
  await page.getByRole("listbox").and(page.locator(":focus")).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("no such server");
  await page.getByRole("heading", { name: "No server is called that" }).waitFor();
  await checkAccess(page);

  const nothing = await startServer(t, { config: "" });
  const empty = await openPage(t, nothing, "/servers");
  await empty.getByRole("heading", { name: "There is no server yet" }).waitFor();
  await checkAccess(empty);
});

test("on a phone it is the list, then the server", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/servers", { viewport: { width: 390, height: 800 } });
  await page.locator("[data-server]").first().click();
  await page.getByRole("listbox").waitFor({ state: "hidden" });
  await checkWidth(page);
  await page.getByRole("button", { name: "Back to the list" }).click();
  await page.getByRole("listbox").waitFor();
  await checkWidth(page);
});

/** A server over stdio, of one tool. */
const CLOCK = `
import { createInterface } from "node:readline";
const tools = [{ name: "time", description: "Tells the time", inputSchema: { type: "object" } }];
const results = {
  initialize: () => ({ protocolVersion: "2025-06-18", capabilities: { tools: {} }, serverInfo: { name: "clock", version: "1" } }),
  "tools/list": () => ({ tools }),
  ping: () => ({}),
};
createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method } = JSON.parse(line);
  if (id === undefined) return;
  const result = results[method]?.();
  const answer = result ? { result } : { error: { code: -32601, message: "no such method" } };
  console.log(JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
});
`;

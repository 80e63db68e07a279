// A real toolscout and a real browser, for the tests of the console.
//
// Invariant: whatever a page writes to the browser's console as an error or warning, throws, or is
// kept from by the content security policy, fails the test that opened it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** Tools of the demo. */
const DEMO = 202;
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BINARY = process.env.TOOLSCOUT_BIN ?? join(ROOT, "target/debug/toolscout");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const contexts = new Set();

/**
 * Starts a toolscout that serves the demo, or what `config` (TOML) says, in a folder of its own,
 * where `files` ({name: text}) lie beside its configuration; `kept` is the data folder of one that was
 * stopped. It ends with the test `t`.
 */
export async function startServer(t, { config, args = [], files = {}, env = {}, listen = "127.0.0.1:0", kept } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "toolscout-console-"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const given = config === undefined ? ["--demo"] : ["--config", join(folder, "toolscout.toml")];
  if (config !== undefined) await writeFile(join(folder, "toolscout.toml"), config);
  const data = kept ?? join(folder, "data");
  const child = spawn(BINARY, ["serve", ...given, "--data", data, "--listen", listen, ...args], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = [];
  child.stderr.on("data", (chunk) => log.push(chunk));
  const ended = new Promise((done) => child.on("exit", done));
  t.after(async () => {
    // What a page asks of a server that is gone is none of its faults.
    await Promise.all([...contexts].map((context) => context.close()));
    child.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true, force: true });
  });
  const url = await new Promise((found, failed) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const url = line.match(/http:\/\/[^\s]+/)?.[0];
      if (url) found(new URL(url).origin);
    });
    ended.then((code) => failed(new Error(`toolscout ended with ${code}:\n${log.join("")}`)));
  });
  const server = { url, folder, data, log: () => log.join(""), ended };
  /** The token of whoever runs it. */
  server.operator = async () => (await readFile(join(data, "admin.token"), "utf8")).trim();
  server.stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  await until(async () => (await fetch(`${url}/readyz`)).ok, "it is ready");
  // So that what pages count, and where the map has things, does not change under a test.
  if (config === undefined) await until(async () => (await (await fetch(`${url}/v1/status`)).json()).total === DEMO, "the demo is whole");
  return server;
}

/** A catalog file with these tools of a server; those that say nothing of what they take take nothing. */
export function catalogOf(server, ...tools) {
  return tools.map((tool) => `${JSON.stringify({ server, inputSchema: { type: "object" }, ...tool })}\n`).join("");
}

/** A file of labelled queries. */
export function queriesOf(...queries) {
  return queries.map((query) => JSON.stringify(query)).join("\n");
}

/** An authorization server (oidc-provider) and an MCP server that wants its tokens; both end with the test. */
export async function startIssuer(t) {
  const child = spawn("node", ["tests/peers/oauth.mjs"], { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((done) => child.on("exit", done));
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  const { as, mcp } = JSON.parse(await new Promise((found) => createInterface({ input: child.stdout }).once("line", found)));
  child.stdout.resume();
  const control = async (change) => {
    const asked = change ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(change) } : {};
    return (await fetch(`${mcp}/control`, asked)).json();
  };
  return { as, mcp, control };
}

/** What a command of toolscout prints that works on the server's data folder. */
export async function command(server, args) {
  const child = spawn(BINARY, [...args, "--data", server.data], { cwd: server.folder, stdio: ["ignore", "pipe", "pipe"] });
  const [said, wrong] = [[], []];
  child.stdout.on("data", (chunk) => said.push(chunk));
  child.stderr.on("data", (chunk) => wrong.push(chunk));
  const code = await new Promise((done) => child.on("close", done));
  assert.equal(code, 0, `toolscout ${args.join(" ")}: ${wrong.join("")}`);
  return said.join("");
}

/** Waits until `holds` returns something true. */
export async function until(holds, what, seconds = 30) {
  const end = Date.now() + 1000 * seconds;
  let last;
  for (;;) {
    try {
      const value = await holds();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`, { cause: last });
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

let browser;

const launch = () => chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });

/** An empty page, to compute in. */
export async function blankPage(t) {
  browser ??= await launch();
  const page = await browser.newPage();
  t.after(() => page.close());
  return page;
}

/**
 * Opens `path` of the server in a browser context of its own. `expected` are patterns of messages
 * that the test provokes (a server that is gone is told in the browser's console).
 */
export async function openPage(t, server, path = "/", { expected = [], ...options } = {}) {
  browser ??= await launch();
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...options });
  contexts.add(context);
  context.on("close", () => contexts.delete(context));
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) wrong.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`thrown: ${error.stack ?? error}`));
  t.after(async () => {
    await context.close();
    const unexpected = wrong.filter((line) => !expected.some((pattern) => pattern.test(line)));
    assert.deepEqual(unexpected, [], "the browser's console");
  });
  page.setDefaultTimeout(15_000);
  await page.goto(server.url + path);
  return page;
}

/** To be called once at the end of each file. */
export async function closeBrowser() {
  await browser?.close();
  browser = undefined;
}

/** No serious finding of axe on what is shown now, in both colour schemes. */
export async function checkAccess(page) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    // By the debugger's hand, which the page's policy does not bind.
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
    const told = serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html} (${failureSummary})`).join("; ")}`);
    assert.deepEqual(told, [], `axe, ${colorScheme}`);
  }
}

/**
 * Nobody has to scroll sideways: nothing makes the page wider than the screen, nor a part of it wider
 * than its place, but for what is made to be scrolled, which can be focused, and tables in a frame.
 */
export async function checkWidth(page) {
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= screen, `${page.url()} is ${wide} px wide on a screen of ${screen} px`);
  const parts = await page.locator("main *:not([tabindex='0'], .params-table, .places)").evaluateAll((all) =>
    all.filter((part) => part.scrollWidth > part.clientWidth && /auto|scroll/.test(getComputedStyle(part).overflowX)).map(({ className }) => className),
  );
  assert.deepEqual(parts, [], `${page.url()}: what scrolls sideways`);
}

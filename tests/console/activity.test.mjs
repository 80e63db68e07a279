// The page of what was asked: live, by range, as a table, with the keyboard, and as much of a query
// as is kept.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { catalogOf, checkAccess, checkWidth, closeBrowser, openPage, startServer, until } from "./support.mjs";

after(closeBrowser);

const NOTHING = "xylqz vwkjh";
const FILES = { "tools.jsonl": catalogOf("mail", { name: "send", description: "Send a mail" }) };

/** The page, logged in as whoever runs this toolscout. */
async function openActivity(t, server, options) {
  return openPage(t, server, `/activity#key=${await server.operator()}`, options);
}

async function search(server, query) {
  const response = await fetch(`${server.url}/v1/search?q=${encodeURIComponent(query)}`);
  assert.equal(response.status, 200);
}

function tile(page, name) {
  return page.locator(`[data-tile="${name}"]`);
}

test("without a search it says how to send one, and then shows it by itself", async (t) => {
  const server = await startServer(t);
  const page = await openActivity(t, server);
  await page.getByText("No searches yet").waitFor();
  await page.getByText(`curl '${server.url}/v1/search?q=send+a+mail'`).waitFor();
  await checkAccess(page);

  await search(server, "send a mail");
  await search(server, NOTHING);
  const recent = page.getByRole("region", { name: "Recent queries" });
  await recent.getByRole("option").filter({ hasText: "send a mail" }).waitFor();
  const missed = page.getByRole("region", { name: "Queries without a result" });
  await missed.getByRole("link", { name: NOTHING }).waitFor();
  assert.equal(await tile(page, "Without a result").textContent(), "50 %");
  assert.match(await tile(page, "Median time of a search").textContent(), /^[\d.]+ (µs|ms)$/);
  await until(async () => (await tile(page, "Tokens saved today").textContent()) !== "0", "tokens are saved");
  // One more, while it is looked at.
  await search(server, "read a file");
  await recent.getByRole("option").filter({ hasText: "read a file" }).waitFor();
  assert.equal(await recent.getByRole("option").count(), 3);
  await search(server, "read a file");
  await recent.getByRole("option").filter({ hasText: /(hybrid|lexical), from cache/ }).waitFor();
  await checkAccess(page);

  await missed.getByRole("link", { name: NOTHING }).click();
  await page.waitForURL((url) => url.pathname === "/" && url.searchParams.get("q") === NOTHING);
  await page.close();
});

test("the range, the tables and the filters are reached with the keyboard", async (t) => {
  const server = await startServer(t);
  for (const query of ["send a mail", "merge a branch", NOTHING]) await search(server, query);
  const page = await openActivity(t, server);
  await page.getByRole("button", { name: "14 days" }).press("Enter");
  await page.getByText("in 14 days", { exact: false }).first().waitFor();
  assert.equal(await page.getByRole("button", { name: "14 days" }).getAttribute("aria-pressed"), "true");

  const chart = page.getByRole("slider", { name: /^Searches a second/ });
  await chart.focus();
  await page.keyboard.press("End");
  const now = await chart.getAttribute("aria-valuetext");
  assert.match(now, /hybrid [\d.]+\/s/);
  await page.keyboard.press("ArrowLeft");
  assert.notEqual(await chart.getAttribute("aria-valuetext"), now);

  for (const title of ["How long searches took", "Searches a second", "Time of a search", "Tokens saved"]) {
    const figure = page.getByRole("region", { name: title, exact: true });
    await figure.getByRole("button", { name: "Table" }).press("Enter");
    const rows = figure.getByRole("table").getByRole("row");
    assert.ok((await rows.count()) >= 2, title);
    assert.doesNotMatch(await rows.nth(1).textContent(), /Nothing/, title);
  }
  const savings = page.getByRole("region", { name: "Tokens saved", exact: true });
  assert.match(await savings.getByRole("row").nth(1).textContent(), /[1-9]/);
  await checkAccess(page);

  const recent = page.getByRole("region", { name: "Recent queries" });
  await recent.getByRole("button", { name: "Without a result" }).press("Enter");
  await until(async () => (await recent.getByRole("option").count()) === 1, "one has none");
  await recent.getByRole("button", { name: "Refused" }).press("Enter");
  await recent.getByText("No such query lately.").waitFor();
  await recent.getByRole("button", { name: "All" }).press("Enter");
  await recent.getByRole("listbox").focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await recent.getByRole("link", { name: "Search for it again" }).waitFor();
  await checkAccess(page);
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname === "/" && url.searchParams.get("q") === "merge a branch");
  // Before its server goes, which it would ask on.
  await page.close();
});

test("where texts are not kept it says so and how to change that", async (t) => {
  const config = "[servers.files]\ncatalog = 'tools.jsonl'\n[audit]\nqueries = 'none'\n";
  const server = await startServer(t, { config, files: FILES });
  await search(server, "secret plans");
  const page = await openActivity(t, server);
  const recent = page.getByRole("region", { name: "Recent queries" });
  await recent.getByText("Texts of queries are not kept.").waitFor();
  await recent.getByRole("option").filter({ hasText: "not kept" }).waitFor();
  assert.equal(await page.getByText("secret plans").count(), 0);
  await page.getByRole("region", { name: "Queries without a result" }).getByText("[audit]").waitFor();
  await checkAccess(page);
  await page.close();
});

test("who may not see it is told what it takes", async (t) => {
  const config = "[servers.files]\ncatalog = 'tools.jsonl'\n[auth]\nkeys = true\n";
  const server = await startServer(t, { config, files: FILES });
  const made = await fetch(`${server.url}/v1/admin/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${await server.operator()}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "searcher" }),
  });
  const { secret } = await made.json();
  const page = await openPage(t, server, `/activity#key=${secret}`, { expected: [/status of 403/] });
  await page.getByText("Activity is for operators").waitFor();
  await page.getByText("toolscout key create ops --scope search --scope call --scope admin").waitFor();
  await checkAccess(page);
});

test("where nobody is asked it still asks who administers, and offers the login", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/activity", { expected: [/status of 401/] });
  await page.getByText("Activity is for operators").waitFor();
  await checkAccess(page);
  await page.getByRole("main").getByRole("button", { name: "Log in" }).click();
  await page.getByLabel(/token|key/i).first().waitFor();
});

test("it fits a phone, and a server that is gone is told without losing what was there", async (t) => {
  const server = await startServer(t);
  for (let number = 0; number < 30; number++) await search(server, `send mail number ${number} about a rather long matter that wraps`);
  const page = await openActivity(t, server, { viewport: { width: 390, height: 800 }, expected: [/ERR_CONNECTION/] });
  await page.getByRole("region", { name: "Recent queries" }).getByRole("option").first().waitFor();
  await checkWidth(page);
  await checkAccess(page);

  await server.stop();
  await page.getByText("Not up to date").waitFor();
  assert.ok((await page.getByRole("option").count()) > 3);
});

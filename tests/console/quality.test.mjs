// The quality page: a query file is sent or chosen, evaluated in the background, and leads to what failed.
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { checkAccess, checkWidth, closeBrowser, openPage, queriesOf, startServer, until } from "./support.mjs";

after(closeBrowser);

const QUERIES = [
  { id: "a", query: "refund a card payment in full", relevant: ["payments/refund_payment"], category: "direct" },
  { id: "b", query: "open a merge request with reviewers", relevant: ["forge/open_merge_request"], category: "direct" },
  { id: "c", query: "water the plants on the balcony", relevant: ["mail/searchMessages"], category: "odd" },
  { id: "d", query: "something without a label" },
];
const file = (name, text) => ({ name, mimeType: "application/x-ndjson", buffer: Buffer.from(text) });
const upload = (page, name, text) => page.getByLabel("Query file").setInputFiles(file(name, text));
const evaluate = (page) => page.getByRole("button", { name: "Evaluate" });

/** Opens the page as whoever runs this toolscout. */
async function openQuality(t, server, options = {}) {
  // The address that `toolscout console` prints, but for the page.
  const page = await openPage(t, server, `/quality#key=${await server.operator()}`, options);
  await page.getByRole("heading", { name: "Quality" }).waitFor();
  return page;
}

test("a query file is evaluated, and a failed query leads to its explanation", async (t) => {
  const server = await startServer(t);
  const page = await openQuality(t, server);
  // Nothing was evaluated yet: the page says what a query file is.
  await page.getByText('"relevant": ["payments/refund_payment"]').waitFor();
  assert.ok(await evaluate(page).isDisabled());
  await page.getByText("There is nothing to evaluate yet: choose a query file").waitFor();
  await checkAccess(page);

  await upload(page, "mine.jsonl", queriesOf(...QUERIES));
  await page.getByText("There is nothing to evaluate yet").waitFor({ state: "detached" });
  await evaluate(page).click();

  const result = page.getByRole("region", { name: "Result of mine.jsonl" });
  await result.getByText("3 queries scored, 1 without a label").waitFor();
  const recall = result.locator('[data-metric="R@5"]');
  await recall.getByText("0.667").waitFor();
  await result.locator('[data-category="direct"]').getByText("1.000").waitFor();
  await checkAccess(page);
  const download = page.waitForEvent("download");
  await result.getByRole("button", { name: "Download as JSON" }).click();
  assert.match((await download).suggestedFilename(), /^toolscout-eval-\d+\.json$/);

  await result.getByRole("option").getByText("water the plants").click();
  await page.waitForURL((url) => url.pathname === "/" && url.searchParams.get("why") === "mail/searchMessages");
  assert.equal(new URL(page.url()).searchParams.get("q"), "water the plants on the balcony");
});

test("by the keyboard alone: the demo's queries, the list of what failed, the explanation", async (t) => {
  const server = await startServer(t);
  const page = await openQuality(t, server);
  await page.getByLabel("Or one that is kept here").focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  assert.ok(await evaluate(page).evaluate((button) => button === document.activeElement));
  await page.keyboard.press("Enter");

  const list = page.getByRole("listbox", { name: "Queries whose answer lacks a tool" });
  await list.waitFor({ timeout: 60_000 });
  await list.focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  const chosen = list.getByRole("option", { selected: true });
  assert.equal(await chosen.getAttribute("aria-posinset"), "2");
  const query = await chosen.locator(".q-failure-query > :first-child").textContent();
  await checkAccess(page);
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.searchParams.get("q") === query && url.searchParams.has("why"));
});

test("the history is there after a restart, compares two, and forgets one", async (t) => {
  const first = await startServer(t);
  let page = await openQuality(t, first);
  await upload(page, "mine.jsonl", queriesOf(...QUERIES));
  await evaluate(page).click();
  await page.getByRole("region", { name: "Result of mine.jsonl" }).waitFor();
  await page.context().close();
  await first.stop();

  const server = await startServer(t, { kept: first.data });
  page = await openQuality(t, server);
  const history = page.getByRole("region", { name: "History" });
  await history.getByRole("link", { name: "mine.jsonl" }).waitFor();
  await upload(page, "mine.jsonl", queriesOf(...QUERIES));
  await page.getByLabel("Ranked by").selectOption("lexical");
  await evaluate(page).click();
  await history.getByRole("link", { name: "mine.jsonl" }).nth(1).waitFor();
  await history.getByText("other configuration").waitFor();
  await history.getByRole("button", { name: /^Compare with/ }).click();
  const comparison = page.getByRole("region", { name: "Comparison" });
  await comparison.getByText("The same queries, the same tools, another configuration.").waitFor();
  assert.equal(await comparison.locator("tbody tr").count(), 9);
  await checkAccess(page);
  // The comparison has an address.
  await page.reload();
  await comparison.waitFor();

  await history.getByRole("button", { name: /^Forget/ }).nth(1).click();
  await until(async () => (await history.getByRole("link", { name: "mine.jsonl" }).count()) === 1, "one is left");
  await comparison.waitFor({ state: "detached" });
});

test("a bad file is refused with its line, and a file of the data folder is offered", async (t) => {
  const server = await startServer(t);
  await mkdir(join(server.data, "evals/queries"), { recursive: true });
  await writeFile(join(server.data, "evals/queries/team.jsonl"), queriesOf(...QUERIES));
  const page = await openQuality(t, server, { expected: [/400 \(Bad Request\)/] });
  await upload(page, "bad.jsonl", `${queriesOf(...QUERIES)}\n{"id": "e"}`);
  await evaluate(page).click();
  const alert = page.getByRole("alert");
  await alert.getByText("bad.jsonl, line 5: missing field `query`").waitFor();
  await checkAccess(page);
  const option = page.getByLabel("Or one that is kept here").locator("option", { hasText: "team.jsonl" });
  assert.match(await option.textContent(), /team\.jsonl \(\d+ bytes\)/);
  await page.getByLabel("Or one that is kept here").selectOption("team.jsonl");
  await alert.waitFor({ state: "detached" });
  await evaluate(page).click();
  await page.getByRole("region", { name: "Result of team.jsonl" }).waitFor();
});

test("one that takes its time shows how far it is, and is cancelled", async (t) => {
  const server = await startServer(t);
  const page = await openQuality(t, server);
  const many = Array.from({ length: 20_000 }, (_, at) => ({ id: String(at), query: `refund payment number ${at} and then write a mail about it`, relevant: ["payments/refund_payment"] }));
  await upload(page, "many.jsonl", queriesOf(...many));
  await evaluate(page).click();
  const bar = page.getByRole("progressbar", { name: "Queries of many.jsonl that were asked" });
  await until(async () => (await bar.getAttribute("value")) > 0, "some are asked");
  await checkAccess(page);
  await page.getByRole("button", { name: "Cancel" }).click();
  await bar.waitFor({ state: "detached" });
  await page.getByText("How good is the search on your tools?").waitFor();
});

test("whoever is not an operator is told what is needed", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/quality", { expected: [/401 \(Unauthorized\)/] });
  await page.getByRole("heading", { name: "Quality is for operators" }).waitFor();
  await page.getByText("toolscout key create ops --scope search --scope call --scope admin").waitFor();
  await checkAccess(page);
  await page.getByRole("main").getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
});

test("nothing scrolls sideways on a phone", async (t) => {
  const server = await startServer(t);
  const page = await openQuality(t, server, { viewport: { width: 390, height: 844 } });
  await checkWidth(page);
  await upload(page, "mine.jsonl", queriesOf(...QUERIES));
  await evaluate(page).click();
  await page.getByRole("region", { name: "Result of mine.jsonl" }).getByText("Failed queries").waitFor();
  await page.getByRole("region", { name: "History" }).waitFor();
  await checkWidth(page);
});

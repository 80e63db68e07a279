// The page of the catalog.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { catalogOf, checkAccess, checkWidth, closeBrowser, openPage, startServer, until } from "./support.mjs";

after(closeBrowser);

const shop = (...tools) => catalogOf("shop", ...tools);
const SHOP = `[servers.files]\ncatalog = 'shop.jsonl'\nrefresh = '1s'\n`;
const detail = (page) => page.getByRole("region", { name: "The chosen tool" });
const param = (page, name) => new URL(page.url()).searchParams.get(name);
const names = (page) => page.locator(".tool-name").evaluateAll((all) => all.map((name) => name.firstChild.textContent.trim()));

test("a tool is found by a few letters and shown with all that is known of it", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/catalog");
  await page.getByRole("listbox").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("calendar create");
  await until(async () => (await page.locator("[role=option]").count()) === 1, "one is left");
  await page.locator("[role=option]").click();
  await detail(page).getByRole("heading", { level: 2 }).waitFor();
  await detail(page).getByRole("row").nth(1).waitFor();
  await detail(page).getByText(/\d+ tokens, [\d,]+ bytes/).waitFor();
  await checkAccess(page);

  // Whoever is sent the address sees the same.
  await until(() => param(page, "tool") === "calendar/create_event" && param(page, "q") === "calendar create", "the address has both");
  await page.reload();
  await detail(page).getByText("calendar/create_event", { exact: true }).waitFor();
  assert.equal(await page.locator("[role=option]").count(), 1);
  await page.keyboard.press("Escape");
  await detail(page).getByText("No tool is chosen").waitFor();
  await page.getByLabel("Filter tools").fill("no such tool at all");
  await page.getByRole("heading", { name: "No tool is called that" }).waitFor();
  await checkAccess(page);
});

test("arrows walk through the list, Enter goes to the tool, Escape comes back", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/catalog");
  await page.getByRole("listbox").focus();
  for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"]) await page.keyboard.press(key);
  const shown = (await names(page))[1];
  await until(() => param(page, "tool")?.endsWith(`/${shown}`), "the second is chosen");
  await page.keyboard.press("Enter");
  await detail(page).and(page.locator(":focus")).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("listbox").and(page.locator(":focus")).waitFor();
  await until(() => param(page, "tool") === null, "the address has none");
});

test("a definition that changes is shown with what it said before", async (t) => {
  const before = { name: "sell", description: "Sell a book" };
  const long = "Merge a branch of a repository into another once every reviewer agreed and checks passed";
  const others = shop({ name: "merge", description: long }, { name: "merge_all", description: `${long} today` });
  const server = await startServer(t, { config: SHOP, files: { "shop.jsonl": others + shop(before) } });
  const page = await openPage(t, server, "/catalog?tool=shop%2Fsell");
  await detail(page).getByText("never").waitFor();

  await writeFile(join(server.folder, "shop.jsonl"), others + shop({ ...before, description: "Sell a car" }, { name: "rent" }));
  await page.locator("[data-changes] del").getByText("Sell a book").waitFor();
  await page.locator("[data-changes] ins").getByText("Sell a car").waitFor();
  await page.getByText(/1 new, 1 changed .* ago/).waitFor();
  await checkAccess(page);

  await page.locator("[data-lint]").getByText("short-description").waitFor();

  // What changed last comes first, and what says nearly the same is named.
  await page.getByLabel("Order").selectOption("changed");
  await until(async () => (await names(page))[0] === "sell", "it comes first");
  await page.goto(`${server.url}/catalog?tool=shop%2Fmerge`);
  await page.locator("[data-near]").getByRole("link", { name: "shop/merge_all" }).click();
  await detail(page).getByText("shop/merge_all", { exact: true }).waitFor();

  await writeFile(join(server.folder, "shop.jsonl"), others);
  await until(async () => (await page.locator("[role=option]").count()) === 2, "two are gone");
});

test("each order turns around, by keys, and the address has it", async (t) => {
  const files = { "shop.jsonl": shop({ name: "a_long", description: "x".repeat(4_000) }, { name: "b_short" }, { name: "c_middle", description: "y".repeat(400) }) };
  const server = await startServer(t, { config: SHOP, files });
  const page = await openPage(t, server, "/catalog");
  const first = async (name) => until(async () => (await names(page))[0] === name, `${name} comes first`);
  await first("a_long");
  await page.getByLabel("Order").focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await first("c_middle");
  await page.getByLabel("Order").selectOption("size");
  await first("a_long");
  await page.getByRole("button", { name: "largest first" }).press("Enter");
  await first("b_short");
  await until(() => param(page, "sort") === "size" && param(page, "turned") === "1", "the address has it");
  await page.reload();
  await first("b_short");

  // Of what never changed it is not known when: it comes last, either way.
  await writeFile(join(server.folder, "shop.jsonl"), files["shop.jsonl"].replace("yyy", "zzz"));
  await page.getByText("1 changed").waitFor();
  await page.getByLabel("Order").selectOption("changed");
  await first("c_middle");
  await page.getByRole("button", { name: "newest first" }).click();
  await page.getByRole("button", { name: "oldest first" }).waitFor();
  await first("c_middle");
  await checkAccess(page);
});

test("thirty thousand tools are a list like any other", async (t) => {
  const count = 30_000;
  const all = Array.from({ length: count }, (_, at) => catalogOf(`s${at % 300}`, { name: `tool_${String(at).padStart(5, "0")}`, description: "x".repeat({ 17: 4_000, 18: 1 }[at] ?? 40) }));
  const server = await startServer(t, { config: `[servers.files]\ncatalog = 'all.jsonl'\n[embed]\nenabled = false\n`, files: { "all.jsonl": all.join("") } });
  const page = await openPage(t, server, "/catalog");
  page.setDefaultTimeout(60_000);
  await page.getByRole("status").getByText("30,000 tools", { exact: true }).waitFor();
  const rows = () => page.locator("[role=option]").count();
  assert.ok((await rows()) < 100, `${await rows()} rows`);

  await page.getByRole("listbox").focus();
  await page.keyboard.press("End");
  await page.locator("[role=option][aria-selected=true]").waitFor();
  assert.equal(await page.locator("[role=option][aria-selected=true]").getAttribute("aria-posinset"), String(count));
  assert.ok((await rows()) < 100);
  await page.getByLabel("Order").selectOption("size");
  await page.getByRole("listbox").evaluate((list) => list.scrollTo(0, 0));
  await until(async () => (await names(page))[0] === "tool_00017", "the largest comes first");
  await page.getByRole("button", { name: "largest first: turn around" }).click();
  await until(async () => (await names(page))[0] === "tool_00018", "the smallest comes first");
  await page.getByLabel("Server").selectOption("s17");
  await page.getByText("100 of 30,000 tools").waitFor();
  await page.getByLabel("Filter tools").fill("tool_29");
  await until(async () => (await rows()) === 3, "three are left of it");
  await checkAccess(page);
});

test("where there is nothing it says what to do next", async (t) => {
  const server = await startServer(t, { config: "" });
  const page = await openPage(t, server, "/catalog");
  await page.getByRole("heading", { name: "There is no tool yet" }).waitFor();
  await checkAccess(page);
  const unknown = await openPage(t, server, "/catalog?tool=no%2Fsuch", { expected: [/404/] });
  await detail(unknown).getByRole("alert").waitFor();
});

test("on a phone it is the list, then the tool", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/catalog", { viewport: { width: 390, height: 800 } });
  await page.locator("[role=option]").first().click();
  await detail(page).getByRole("heading", { name: "Definition" }).waitFor();
  await page.getByRole("listbox").waitFor({ state: "hidden" });
  await checkWidth(page);
  await checkAccess(page);
  await page.getByRole("button", { name: "Back to the list" }).click();
  await page.getByRole("listbox").waitFor();
  await checkWidth(page);
});

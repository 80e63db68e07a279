// Names that are as long as they may be, without a place to break them, on a phone.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { catalogOf, checkAccess, checkWidth, closeBrowser, openPage, queriesOf, startServer } from "./support.mjs";

after(closeBrowser);

const SERVER = "server".repeat(11).slice(0, 64);
const OTHER = "others".repeat(11).slice(0, 64);
const TOOL = "finding".repeat(10).slice(0, 64);
const ID = `${SERVER}/${TOOL}`;
const about = `Finds ${TOOL} in ${"word".repeat(40)}, which nobody else does, for whoever has to have it found before the day is over`;
const tool = { name: TOOL, title: TOOL, description: about, inputSchema: { type: "object", required: [TOOL], properties: { [TOOL]: { enum: [TOOL, SERVER], description: about } } } };
const config = `[servers.files]\ncatalog = 'catalog.jsonl'\n[servers.${"failed".repeat(11).slice(0, 64)}]\nurl = 'http://127.0.0.1:9/mcp'\n`;
const files = { "catalog.jsonl": catalogOf(SERVER, tool, { name: "short", description: about }) + catalogOf(OTHER, tool) };
const q = `q=${TOOL}`;

/** What each page shows of it, from its address on. */
const PAGES = {
  search: {
    path: `/?${q}&server=${SERVER}&why=${encodeURIComponent(ID)}`,
    async see(page) {
      await page.locator("[data-verdict]").waitFor();
      await page.locator(`[data-tool-id="${ID}"] button.hit-open`).click();
      await page.getByRole("heading", { name: "Definition" }).waitFor();
      await page.locator("summary", { hasText: "Filters" }).waitFor();
    },
  },
  comparison: {
    path: `/?${q}&compare=${encodeURIComponent(`server=${SERVER}`)}`,
    see: (page) => page.getByRole("region", { name: "Second", exact: true }).locator(`[data-tool-id="${ID}"]`).waitFor(),
  },
  catalog: { path: "/catalog", see: (page) => page.locator("[role=option]").first().waitFor() },
  tool: { path: `/catalog?tool=${encodeURIComponent(ID)}`, see: (page) => page.locator("[data-near]").getByRole("link").first().waitFor() },
  servers: { path: "/servers", see: (page) => page.locator("[data-server^=failed]").getByText("failed").first().waitFor() },
  server: { path: `/servers?server=${SERVER}`, see: (page) => page.getByRole("link", { name: "Its tools" }).waitFor() },
  quality: {
    path: "/quality",
    async see(page) {
      const buffer = Buffer.from(queriesOf({ id: "a", query: TOOL, relevant: [`${OTHER}/short`], category: SERVER }, { id: "b", query: about, relevant: [ID], category: TOOL }));
      await page.getByLabel("Query file").setInputFiles({ name: `${TOOL}.jsonl`, mimeType: "application/x-ndjson", buffer });
      await page.getByRole("button", { name: "Evaluate" }).click();
      await page.getByRole("listbox").getByText(TOOL).first().waitFor();
      await page.getByRole("region", { name: "History" }).waitFor();
    },
  },
  map: {
    path: `/map?${q}&server=${SERVER}&tool=${encodeURIComponent(ID)}`,
    async see(page) {
      await page.locator(".map-chosen").getByText(about, { exact: true }).waitFor();
      await page.locator("[aria-labelledby=map-hits] [data-tool-id]").first().waitFor();
    },
  },
  activity: {
    path: "/activity",
    async see(page) {
      // As a host asks: what the console asks for itself is not counted.
      await fetch(new URL(`/v1/search?${q}`, page.url()));
      await page.getByRole("region", { name: "Recent queries" }).getByRole("option").filter({ hasText: TOOL }).first().click();
      await page.locator(".details").getByText(ID).waitFor();
    },
  },
};

test("nothing is wider than the screen for a name that is as long as it may be", async (t) => {
  assert.deepEqual([SERVER, OTHER, TOOL].map(({ length }) => length), [64, 64, 64]);
  const server = await startServer(t, { config, files });
  const operator = await server.operator();
  for (const [name, { path, see }] of Object.entries(PAGES)) {
    await t.test(name, async (t) => {
      const page = await openPage(t, server, `${path}#key=${operator}`, { viewport: { width: 390, height: 844 } });
      await see(page);
      await checkWidth(page);
      await checkAccess(page);
    });
  }
});

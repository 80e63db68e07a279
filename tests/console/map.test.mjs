// The catalog as a picture.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { catalogOf, checkAccess, checkWidth, closeBrowser, openPage, startServer, until } from "./support.mjs";

after(closeBrowser);

/** The tests read what is drawn, again and again, which the page itself never does. */
const READS = [/willReadFrequently/];

/** How many pixels of the canvas are not its ground, and in how many colours. */
async function drawn(page) {
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  return page.locator("canvas").evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const pixels = new Uint32Array(data.buffer);
    const colours = new Map();
    for (const pixel of pixels) colours.set(pixel, (colours.get(pixel) ?? 0) + 1);
    const ground = Math.max(...colours.values());
    return { inked: pixels.length - ground, colours: colours.size };
  });
}

/** Waits until what is drawn holds. */
async function untilDrawn(page, holds, what) {
  return until(async () => {
    const now = await drawn(page);
    return holds(now) && now;
  }, what);
}

const hitsOf = (page) => page.locator("[aria-labelledby=map-hits] [data-tool-id]").evaluateAll((hits) => hits.map((hit) => hit.dataset.toolId));
const answer = async (server, path) => (await fetch(server.url + path)).json();

test("all tools are drawn, a server alone, and one less", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/map", { expected: READS });
  const all = await untilDrawn(page, ({ inked }) => inked > 1000, "the picture is drawn");
  assert.ok(all.colours > 8, `${all.colours} colours`);
  const { servers } = await answer(server, "/v1/servers");
  const largest = servers.toSorted((a, b) => b.tools - a.tools || (a.id < b.id ? -1 : 1))[0];

  await page.getByRole("button", { name: `${largest.id} ${largest.tools} tools` }).click();
  await page.waitForURL((url) => url.searchParams.get("server") === largest.id);
  const alone = await untilDrawn(page, ({ inked }) => inked < all.inked / 2, "one server alone is drawn");
  assert.ok(alone.inked > 0);
  await page.reload();
  await untilDrawn(page, ({ inked }) => inked > 0 && inked < all.inked / 2, "the address keeps it");
  await page.getByRole("button", { name: "Show all", exact: true }).click();
  await untilDrawn(page, ({ inked }) => inked > (9 * all.inked) / 10, "all are drawn again");
  await page.getByRole("checkbox", { name: `Show ${largest.id}`, exact: true }).uncheck();
  await untilDrawn(page, ({ inked }) => inked < all.inked - alone.inked / 2, "one is hidden");
  await checkAccess(page);
});

test("a query is drawn with the hits of the search, each one click from its definition", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/map", { expected: READS });
  const before = await untilDrawn(page, ({ inked }) => inked > 1000, "the picture is drawn");
  await page.keyboard.press("/");
  await page.keyboard.type("send a message to somebody");
  const q = "send+a+message+to+somebody";
  const wanted = (await answer(server, `/v1/search?q=${q}&limit=20`)).tools.map(({ id }) => id);
  assert.ok(wanted.length > 4);
  await until(async () => JSON.stringify(await hitsOf(page)) === JSON.stringify(wanted), "the hits of the search are listed");
  await page.getByText("The query stands between").waitFor();
  assert.notDeepEqual(await drawn(page), before);
  assert.equal(new URL(page.url()).searchParams.get("q"), "send a message to somebody");

  await page.locator(`[aria-labelledby=map-hits] [data-tool-id="${wanted[1]}"]`).click();
  const chosen = page.getByRole("region", { name: wanted[1] });
  const { definition } = await answer(server, `/v1/tools/${wanted[1]}`);
  await chosen.getByText(definition.description, { exact: true }).waitFor();
  assert.equal(await chosen.getByRole("link", { name: "In the catalog" }).getAttribute("href"), `/catalog?tool=${encodeURIComponent(wanted[1])}`);
  await checkAccess(page);

  // The address alone brings all of it back.
  await page.reload();
  await chosen.getByText(definition.description, { exact: true }).waitFor();
  await until(async () => JSON.stringify(await hitsOf(page)) === JSON.stringify(wanted), "the hits are back");
});

test("the map is moved by keys and by the pointer", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/map", { expected: READS });
  await untilDrawn(page, ({ inked }) => inked > 1000, "the picture is drawn");
  const picture = () => page.locator("canvas").evaluate((canvas) => canvas.toDataURL());
  const changes = async (what, act) => {
    const before = await picture();
    await act();
    await until(async () => (await picture()) !== before, what);
  };
  const canvas = page.getByRole("application", { name: /^Map of \d+ tools/ });
  await canvas.focus();
  for (const key of ["ArrowRight", "ArrowDown", "+", "-", "+", "0"]) await changes(key, () => page.keyboard.press(key));
  await page.keyboard.press("Enter");
  const region = page.locator(".map-chosen");
  await region.waitFor();
  const first = await region.getAttribute("data-tool-id");
  assert.ok(first.includes("/"), first);
  await page.keyboard.press("Escape");
  await region.waitFor({ state: "detached" });

  // The hits, one after the other, and around.
  await page.goto(`${server.url}/map?q=list+files`);
  await until(async () => (await hitsOf(page)).length > 2, "there are hits");
  const hits = await hitsOf(page);
  await canvas.focus();
  for (const [key, at] of [["n", 0], ["n", 1], ["p", 0], ["p", hits.length - 1]]) {
    await page.keyboard.press(key);
    await until(async () => (await region.getAttribute("data-tool-id")) === hits[at], `${key} goes to hit ${at + 1}`);
  }
  // The chosen one is at the centre: Enter and a click there open it again.
  await page.keyboard.press("Escape");
  await region.waitFor({ state: "detached" });
  const { x, y, width, height } = await canvas.boundingBox();
  await page.mouse.click(x + width / 2, y + height / 2);
  await until(async () => (await region.getAttribute("data-tool-id")) !== null, "a click opens a tool");
  await changes("a drag", async () => {
    await page.mouse.move(x + width / 2, y + height / 2);
    await page.mouse.down();
    await page.mouse.move(x + width / 2 + 90, y + height / 2 + 40, { steps: 4 });
    await page.mouse.up();
  });
  await changes("the wheel", () => page.mouse.wheel(0, -300));
});

test("near-duplicates are listed, the largest first, and shown where they lie", async (t) => {
  const about = "Print a letter on the office printer, fold it, put it into an envelope with a stamp and hand it to the post at five";
  const others = ["Find a customer", "Delete a file", "List the branches", "Merge a branch", "Count the clouds", "Play a song"];
  const letters = ["fax", "post", "mail"].map((server) => catalogOf(server, { name: "print_letter", description: about }));
  const misc = catalogOf("misc", ...others.map((description, at) => ({ name: `tool_${at}`, description })));
  const server = await startServer(t, { config: `[servers.all]\ncatalog = "catalog.jsonl"\n`, files: { "catalog.jsonl": letters.join("") + misc } });
  const page = await openPage(t, server, "/map", { expected: READS });
  const group = page.getByRole("button", { name: /3×\s*print_letter\s*3 servers/ });
  await group.click();
  assert.deepEqual(await page.locator(".map-members li").allTextContents(), ["fax/print_letter", "mail/print_letter", "post/print_letter"]);
  await checkAccess(page);
});

test("thirty thousand tools are a map like any other: drawn once a frame, read by pointer and by keys", async (t) => {
  const server = await startServer(t, { config: `[servers.one]\ncatalog = "catalog.jsonl"\n`, files: { "catalog.jsonl": catalogOf("one", { name: "tool" }) } });
  const page = await openPage(t, { url: "" }, "about:blank", { expected: READS });
  const [count, around] = [30_000, 10_000];
  const each = (of) => Array.from({ length: count }, (_, at) => Math.round(of(at)));
  // A sunflower: every point has as much room as every other, and the first is in the middle.
  const reach = (at) => around * Math.sqrt(at / count);
  const map = {
    ...{ state: "ready", generation: 1, method: "sunflower", tools: count, groups: [] },
    servers: Array.from({ length: 3_000 }, (_, at) => `server_${at}`),
    server: each((at) => at % 3_000),
    name: each((at) => at).map((at) => `tool_${at}`),
    x: each((at) => reach(at) * Math.cos(2.39996 * at)),
    y: each((at) => reach(at) * Math.sin(2.39996 * at)),
  };
  await page.route(/\/v1\/map$/, (route) => route.fulfill({ json: map }));
  await page.route(/\/v1\/tools\//, (route) => route.fulfill({ json: { id: "server_0/tool_0", server: "server_0", name: "tool_0", definition: { description: "In the middle" } } }));
  await page.goto(`${server.url}/map`);
  const canvas = page.getByRole("application", { name: "Map of 30000 tools of 3000 servers" });
  await untilDrawn(page, ({ inked }) => inked > count, "the picture is drawn");
  await page.getByText("30,000 of 30,000 tools").waitFor();

  // However often a pointer moves while one is drawn, the next is drawn once.
  const paints = () => canvas.evaluate((element) => Number(element.dataset.paints));
  const before = await paints();
  await canvas.evaluate((element) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    for (let at = 0; at <= 500; at++) {
      const [clientX, clientY] = [left + (width * at) / 1000, top + (height * at) / 1000];
      element.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, pointerType: "mouse", bubbles: true }));
    }
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  });
  await page.locator(".map-tip").getByText("tool_0", { exact: true }).waitFor();
  assert.ok((await paints()) - before <= 2, `${(await paints()) - before} pictures`);

  await canvas.focus();
  for (const key of ["+", "+", "+", "+", "ArrowLeft", "ArrowRight", "Enter"]) await page.keyboard.press(key);
  await page.getByRole("region", { name: "server_0/tool_0" }).getByText("In the middle", { exact: true }).waitFor();
  await page.getByRole("searchbox", { name: "Find a server" }).fill("server_2999");
  await page.getByRole("button", { name: "server_2999 10 tools" }).click();
  await page.keyboard.press("Escape");
  const all = await drawn(page);
  assert.ok(all.inked > 0 && all.inked < count, "ten are left of it");
  await checkAccess(page);
});

test("it says what is missing where nothing can be drawn", async (t) => {
  const server = await startServer(t, { config: "" });
  const page = await openPage(t, server, "/map", { expected: READS });
  await page.getByRole("heading", { name: "There are no tools yet" }).waitFor();
  await page.getByRole("link", { name: "Look at the servers" }).waitFor();
  await checkAccess(page);
});

test("a phone shows the map above its lists, and nothing scrolls sideways", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/map?q=send+mail", { expected: READS, viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true });
  await until(async () => (await hitsOf(page)).length > 2, "there are hits");
  await untilDrawn(page, ({ inked }) => inked > 500, "the picture is drawn");
  const [canvas, hits] = [await page.locator("canvas").boundingBox(), await page.locator("[aria-labelledby=map-hits]").boundingBox()];
  assert.ok(hits.y > canvas.y + canvas.height);
  await checkWidth(page);
  await page.touchscreen.tap(canvas.x + canvas.width / 2, canvas.y + canvas.height / 2);
  await checkAccess(page);
});

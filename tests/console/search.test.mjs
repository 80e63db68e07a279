// The search page: what was found and why, what was not and why not.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { catalogOf, checkAccess, checkWidth, closeBrowser, openPage, startServer, until } from "./support.mjs";

after(closeBrowser);

const DIARY = {
  config: "[servers.diary]\ncatalog = 'catalog.jsonl'\n[servers.house]\ncatalog = 'house.jsonl'\n[profiles.quiet]\nservers = ['house']\n",
  files: {
    "catalog.jsonl": catalogOf(
      "diary",
      {
        name: "createEvent",
        title: "Create an EVENT",
        description: "Adds events to a diary; eventually.",
        inputSchema: { type: "object", required: ["event_id"], properties: { event_id: { type: "string", description: "Of the new event" } } },
      },
      { name: "delete_event", description: "Throw an entry away", annotations: { destructiveHint: true } },
      { name: "搜索网页", description: "搜索 the diary" },
    ),
    "house.jsonl": catalogOf(
      "house",
      { name: "ring_bell", description: "Ring the bell at the door", annotations: { readOnlyHint: true } },
      { name: "open_door", description: "Open the door of the house" },
    ),
  },
};

const field = (page) => page.getByRole("searchbox", { name: "What should the tool do?" });
const ids = (page) => page.locator("[data-tool-id]").evaluateAll((hits) => hits.map((hit) => hit.dataset.toolId));
const hit = (page, id) => page.locator(`[data-tool-id="${id}"]`);
const asked = (page) => new URL(page.url()).searchParams;
const focused = (page) => page.evaluate(() => document.activeElement?.closest("[data-tool-id]")?.dataset.toolId ?? document.activeElement?.getAttribute("role"));

/** What a shell gives to curl of a text that was copied. */
function asShellReads(text, key = "") {
  const script = `curl() { printf '%s\\n\\0' "$@"; }\n${text}`;
  const args = execFileSync("sh", ["-c", script], { encoding: "utf8", env: { TOOLSCOUT_KEY: key } }).split("\n\0").slice(0, -1);
  const given = (option) => args.flatMap((arg, at) => (args[at - 1] === option ? [arg] : []));
  return { url: args.at(-1), headers: given("-H").map((header) => header.split(/: (.*)/s).slice(0, 2)), body: given("-d")[0] };
}

/** Waits until the answer shown is to what was asked last. */
async function settled(page) {
  await page.locator("[aria-busy=false] [data-mode]").waitFor();
}

test("what is typed is found, the address follows, and opens with the same search", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server);
  await page.getByText("202 tools of 14 servers").waitFor();
  await page.getByRole("group", { name: "For example" }).getByRole("button").first().waitFor();
  await checkAccess(page);

  await field(page).pressSequentially("create an event", { delay: 5 });
  await hit(page, "calendar/create_event").waitFor();
  await settled(page);
  assert.equal((await ids(page))[0], "calendar/create_event");
  assert.equal(asked(page).get("q"), "create an event");
  await page.locator("[data-mode=hybrid]").waitFor();
  const told = await page.locator(".told-answer").innerText();
  assert.match(told, /^\d+ tools · hybrid · search \d+\.\d\d ms, round trip \d+ ms · generation \d+ · [\d,]+ tokens$/);
  const first = hit(page, "calendar/create_event");
  assert.match(await first.innerText(), /\d+ % sure\s+\d+ tokens/);
  assert.match(await first.innerText(), /listed \d+ (s|min) ago/);
  assert.match(await first.locator(".bar.words").innerText(), /Words\s+1st, \d/);
  assert.match(await first.locator(".bar.meaning").innerText(), /Meaning\s+1st, 0\.\d\d/);
  await page.getByRole("status").filter({ hasText: /^\d+ tools found$/ }).waitFor({ state: "attached" });
  await checkAccess(page);

  const found = await ids(page);
  const again = await openPage(t, server, `/?q=${encodeURIComponent("create an event")}`);
  await hit(again, "calendar/create_event").waitFor();
  assert.deepEqual(await ids(again), found);
  assert.equal(await field(again).inputValue(), "create an event");
});

test("Back leads to the searches that were looked at, not to every letter of them", async (t) => {
  const page = await openPage(t, await startServer(t, DIARY));
  await field(page).pressSequentially("bell", { delay: 200 });
  await hit(page, "house/ring_bell").waitFor();
  await field(page).press("Enter");
  await field(page).fill("create event");
  await until(() => asked(page).get("q") === "create event", "the address follows");
  await page.goBack();
  await until(async () => (await field(page).inputValue()) === "bell", "the search before");
  await until(async () => (await ids(page))[0] === "house/ring_bell", "and its answer");
  await page.goBack();
  await page.getByText("5 tools of 2 servers").waitFor();
  await page.getByRole("button", { name: "bell", exact: true }).click();
  await hit(page, "house/ring_bell").waitFor();
});

test("words that matched are marked where they stand, by field", async (t) => {
  const page = await openPage(t, await startServer(t, DIARY), "/?q=create+the+evnet");
  const found = hit(page, "diary/createEvent");
  const marks = (selector) => found.locator(`${selector} mark`).allTextContents();
  await found.waitFor();
  assert.deepEqual(await marks(".hit-open"), ["createEvent"]);
  assert.deepEqual(await marks(".hit-title"), ["Create", "EVENT"]);
  // A synonym and another form, and not the word that only begins alike.
  assert.deepEqual(await marks(".hit-description"), ["Adds", "events"]);
  assert.deepEqual(await marks(".params"), ["event"]);
  await found.getByRole("button", { name: "createEvent" }).click();
  assert.deepEqual(await marks("tbody"), ["event", "new", "event"]);
  assert.equal(await found.locator("tbody tr").innerText().then((text) => text.replace(/\s+/g, " ")), "event_id required string Of the new event");
  await found.getByLabel("Definition of diary/createEvent").getByText('"EVENT"').or(found.locator("pre", { hasText: "Create an EVENT" })).first().waitFor();
  await checkAccess(page);
  await field(page).fill("搜索");
  await hit(page, "diary/搜索网页").waitFor();
  await until(async () => (await hit(page, "diary/搜索网页").locator(".hit-open mark").allTextContents()).join() === "搜索", "a pair of a script without spaces");
});

test("the answer to what was asked last stays, however late an earlier one comes", async (t) => {
  const page = await openPage(t, await startServer(t, DIARY));
  const held = [];
  await page.route(/\/v1\/search\?q=bell&/, async (route) => {
    const response = await route.fetch();
    await new Promise((go) => held.push(go));
    await route.fulfill({ response }).catch(() => {});
  });
  await field(page).fill("bell");
  await until(() => held.length > 0, "the first search is on its way");
  await field(page).fill("create event");
  await hit(page, "diary/createEvent").waitFor();
  for (const go of held) go();
  await settled(page);
  assert.equal((await ids(page))[0], "diary/createEvent");
  assert.match(page.url(), /create/);
});

test("all of it goes by keyboard", async (t) => {
  const page = await openPage(t, await startServer(t, DIARY), "/?q=door");
  await hit(page, "house/open_door").waitFor();
  const [first, second] = await ids(page);
  await page.getByRole("button", { name: "Compare" }).focus();
  await page.keyboard.press("/");
  assert.equal(await focused(page), "searchbox");
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(page), first);
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(page), second);
  await page.keyboard.press("Enter");
  await hit(page, second).getByRole("heading", { name: "Definition" }).waitFor();
  await page.keyboard.press("Enter");
  await hit(page, second).getByRole("heading", { name: "Definition" }).waitFor({ state: "detached" });
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  assert.equal(await focused(page), "searchbox");
  await page.keyboard.press("Enter");
  await hit(page, first).getByRole("heading", { name: "Definition" }).waitFor();
  assert.equal(await focused(page), first);
  await page.keyboard.press("Escape");
  assert.equal(await focused(page), "searchbox");
});

test("why not: where a tool ranks, what keeps it there, and what to do", async (t) => {
  const page = await openPage(t, await startServer(t), "/?q=create+an+event&limit=2");
  const why = page.getByRole("region", { name: "Why not this tool?" });
  const verdict = why.locator("[data-verdict]");
  await hit(page, "calendar/create_event").waitFor();
  await why.getByRole("textbox", { name: "The tool, by name or id" }).fill("delete event");
  await why.getByRole("button", { name: "calendar/delete_event" }).click();
  await verdict.and(page.locator("[data-verdict=below_cut]")).waitFor();
  assert.equal(asked(page).get("why"), "calendar/delete_event");
  const told = await verdict.innerText();
  assert.match(told, /It has place \d+, and the answer ends at 2\./);
  assert.match(told, /What those before it have\s+creat not in it, but in \d of 2 before it|creat only in its server’s description; \d of 2 before it have it in name or title/);
  assert.match((await why.getByRole("row", { name: /^Words/ }).innerText()).replace(/\s+/g, " "), /^Words \d+(st|nd|rd|th), \d.* 1st, \d/);
  assert.ok((await verdict.locator(".matched mark").allTextContents()).includes("event"));
  await checkAccess(page);
  await why.getByRole("button", { name: /^Ask for \d+ tools$/ }).click();
  await why.locator("[data-verdict=returned]").waitFor();
  await hit(page, "calendar/delete_event").waitFor();

  // A filter hides it, and goes away by one press.
  await page.locator("summary", { hasText: "Filters" }).click({ trial: true });
  await page.getByLabel("Server", { exact: true }).first().fill("mail");
  await why.locator("[data-verdict=filtered]").waitFor();
  await why.getByRole("button", { name: "Ask without these filters" }).click();
  await why.locator("[data-verdict=returned]").waitFor();

  // A pasted id with a slip.
  await why.getByRole("textbox", { name: "The tool, by name or id" }).fill("calendar/delete_evnt");
  await why.getByRole("button", { name: "Ask", exact: true }).click();
  await why.locator("[data-verdict=unknown_tool]").waitFor();
  await why.locator("[data-verdict]").getByRole("button", { name: "calendar/delete_event" }).click();
  await why.locator("[data-verdict=returned]").waitFor();
});

test("two ways of asking side by side: what moved, and what only one finds", async (t) => {
  const page = await openPage(t, await startServer(t), "/?q=book+a+room&limit=5");
  await settled(page);
  await page.getByRole("button", { name: "Compare" }).click();
  const compare = page.getByRole("region", { name: "Two ways of asking" });
  const side = (name) => compare.getByRole("region", { name, exact: true });
  const found = async (name) => side(name).locator("[data-tool-id]").evaluateAll((hits) => hits.map((hit) => [hit.dataset.toolId, hit.querySelector(".badge").textContent]));
  await compare.getByText("5 in both · 0 of them moved").waitFor();
  await compare.getByLabel("Ranked by").selectOption("words only");
  await side("Second").getByText("lexical").waitFor();
  assert.equal(asked(page).get("compare"), "arm=lexical");
  await until(async () => (await found("Second")).length > 0, "the second is answered");
  const [first, second] = [await found("First"), await found("Second")];
  for (const [own, others] of [[first, second], [second, first]]) {
    for (const [at, [id, badge]] of own.entries()) {
      const from = others.findIndex(([other]) => other === id);
      const wanted = from < 0 ? "only here" : from === at ? "same place" : from > at ? `↑ ${from - at} higher` : `↓ ${at - from} lower`;
      assert.equal(badge, wanted, id);
    }
  }
  assert.notDeepEqual(first, second);
  await checkAccess(page);
  await compare.getByRole("textbox", { name: "The second query" }).fill("send a letter");
  await compare.getByText("0 in both").waitFor();
  const link = side("Second").getByRole("link", { name: "why not there?" }).first();
  await link.click();
  await page.locator("[data-verdict]").waitFor();
  assert.equal(asked(page).get("q"), "book a room");
  assert.equal(asked(page).get("compare"), null);

  // By the address alone.
  await page.goto(page.url().split("?")[0] + "?q=book+a+room&limit=5&compare=arm%3Dlexical");
  await until(async () => JSON.stringify(await found("Second")) === JSON.stringify(second), "the same comparison");
});

test("Back is not undone by the second query", async (t) => {
  const page = await openPage(t, await startServer(t, DIARY), "/?q=door&compare=q%3Dbell");
  const second = page.getByRole("textbox", { name: "The second query" });
  await page.locator("summary", { hasText: "Filters" }).click();
  await page.getByLabel("Ranked by").first().selectOption("words only");
  await until(() => asked(page).get("arm") === "lexical", "a step of Back");
  await second.fill("event");
  await until(() => asked(page).get("compare") === "q=event", "the address follows");
  await page.goBack();
  await until(async () => (await second.inputValue()) === "bell", "the second query of before");
  // Longer than somebody who types is waited for.
  await checkAccess(page);
  assert.deepEqual([asked(page).get("compare"), asked(page).get("arm")], ["q=bell", null]);
  assert.equal(await second.inputValue(), "bell");
});

test("how long ago a server was listed goes on counting", async (t) => {
  const page = await openPage(t, await startServer(t, DIARY), "/?q=bell");
  const listed = hit(page, "house/ring_bell").getByText(/listed \d+ s ago/);
  const age = async () => Number((await listed.innerText()).match(/\d+/)[0]);
  const before = await age();
  await until(async () => (await age()) > before + 1, "it is longer ago");
});

test("a search and a tool are copied for other programs, and never a secret", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/?q=create+an+event&limit=3&server=calendar", { permissions: ["clipboard-read", "clipboard-write"] });
  await hit(page, "calendar/create_event").waitFor();
  const token = await server.operator();
  await page.evaluate((token) => sessionStorage.setItem("toolscout.credential", JSON.stringify({ token })), token);
  const copy = async (within, name) => {
    await within.getByRole("button", { name, exact: true }).click();
    await within.getByText(`Copied: ${name}`).waitFor();
    const text = await page.evaluate(() => navigator.clipboard.readText());
    assert.ok(!text.includes(token), name);
    return text;
  };
  const search = page.getByRole("group", { name: "Copy as" });
  assert.equal(await copy(search, "curl"), `curl -H "authorization: Bearer $TOOLSCOUT_KEY" '${server.url}/v1/search?q=create+an+event&limit=3&server=calendar'`);
  const call = asShellReads(await copy(search, "MCP call"), token);
  assert.equal(call.url, `${server.url}/mcp`);
  assert.deepEqual(JSON.parse(call.body).params, { name: "search_tools", arguments: { query: "create an event", servers: ["calendar"], limit: 3 } });
  const answered = await fetch(call.url, { method: "POST", ...call });
  assert.equal((await answered.json()).result.structuredContent.tools[0].id, "calendar/create_event");
  const anthropic = JSON.parse(await copy(search, "Anthropic tools"));
  assert.equal(anthropic.length, 3);
  assert.ok(anthropic[0].input_schema && anthropic[0].name.includes("create_event"));
  assert.equal(JSON.parse(await copy(search, "OpenAI tools"))[0].type, "function");
  assert.equal(await copy(search, "link"), page.url());

  const found = hit(page, "calendar/create_event");
  await found.getByRole("button", { name: "create_event" }).click();
  const tool = found.getByRole("group", { name: "Copy" });
  assert.equal(await copy(tool, "id"), "calendar/create_event");
  assert.equal(JSON.parse(await copy(tool, "definition")).name, "create_event");
  assert.equal(JSON.parse(asShellReads(await copy(tool, "MCP call of the tool"), token).body).params.arguments.id, "calendar/create_event");
  assert.deepEqual(JSON.parse(await copy(tool, "OpenAI tool")), JSON.parse(await copy(search, "OpenAI tools"))[0]);
});

test("a copied MCP call goes to the profile that is asked, and it is said what it leaves out", async (t) => {
  const page = await openPage(t, await startServer(t, DIARY), "/?q=ring+Ann's+bell&arm=lexical&profile=quiet", { permissions: ["clipboard-read", "clipboard-write"] });
  await hit(page, "house/ring_bell").waitFor();
  await page.getByRole("group", { name: "Copy as" }).getByRole("button", { name: "MCP call", exact: true }).click();
  await page.getByText("Copied: MCP call, without “Ranked by”: MCP ranks by words and meaning").waitFor();
  const call = asShellReads(await page.evaluate(() => navigator.clipboard.readText()));
  assert.equal(new URL(call.url).pathname, "/p/quiet/mcp");
  assert.deepEqual(JSON.parse(call.body).params.arguments, { query: "ring Ann's bell" });
  const answer = await (await fetch(call.url, { method: "POST", ...call })).json();
  assert.equal(answer.result.structuredContent.tools[0].id, "house/ring_bell");
});

test("filters narrow, are counted, and are taken away again", async (t) => {
  const page = await openPage(t, await startServer(t, DIARY), "/?q=door");
  await hit(page, "house/ring_bell").waitFor();
  await page.locator("summary", { hasText: "Filters" }).click();
  await page.getByLabel("Changes").selectOption("reads only");
  await until(async () => (await ids(page)).join() === "house/ring_bell", "one reads only");
  await page.locator("summary", { hasText: "Filters (1)" }).waitFor();
  await page.getByLabel("Server", { exact: true }).fill("diary");
  await page.getByRole("heading", { name: "Nothing was found" }).waitFor();
  await checkAccess(page);
  await page.getByRole("button", { name: "Ask without filters" }).click();
  await hit(page, "house/open_door").waitFor();
  await page.getByLabel("Ranked by").selectOption("words only");
  await page.locator("[data-mode=lexical]").waitFor();
  await page.getByLabel("Profile").fill("quiet");
  await page.getByLabel("Profile").press("Enter");
  await until(async () => (await ids(page)).every((id) => id.startsWith("house/")), "the profile's tools alone");
  await field(page).fill("zzzz");
  await page.getByRole("heading", { name: "Nothing was found" }).waitFor();
});

test("what goes wrong is said, with what to do about it", async (t) => {
  const server = await startServer(t, DIARY);
  const page = await openPage(t, server, "/?q=door&limit=99", { expected: [/400 \(Bad Request\)/, /503 \(Service Unavailable\)/, /ERR_CONNECTION_REFUSED/, /net::ERR/] });
  await page.getByRole("alert").getByText("limit is 99, it must be 1 to 50").waitFor();
  await checkAccess(page);
  await page.getByRole("button", { name: "Ask without filters" }).click();
  await hit(page, "house/open_door").waitFor();

  // Not ready: it is asked again until it is.
  let isReady = false;
  await page.route(/\/v1\/search/, (route) =>
    isReady ? route.continue() : route.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ type: "urn:toolscout:not-ready", detail: "nothing can be searched yet" }) }),
  );
  await field(page).fill("bell");
  await page.getByRole("alert").getByText("nothing can be searched yet").waitFor();
  isReady = true;
  await hit(page, "house/ring_bell").waitFor();

  await server.stop();
  await field(page).fill("door bell");
  await page.getByRole("alert").getByText("toolscout can't be reached").waitFor();
});

test("what stands beside a tool: its twin, a server that is stale; and why an answer is lexical", async (t) => {
  const description = "Merge a pull request of a code repository into another branch after all checks passed and every reviewer said yes, then delete what was merged";
  const twin = { name: "merge_pull", description };
  const states = async (server) => (await (await fetch(`${server.url}/v1/servers`)).json()).servers.map(({ state }) => state).join();
  const server = await startServer(t, {
    config: "[embed]\nenabled = false\n" + ["acme", "beta"].map((name) => `[servers.${name}]\ncatalog = '${name}.jsonl'\nrefresh = '1s'\n`).join(""),
    files: { "acme.jsonl": catalogOf("acme", twin), "beta.jsonl": catalogOf("beta", twin) },
  });
  await until(async () => (await states(server)) === "ready,ready", "both are there");
  const page = await openPage(t, server, "/?q=merge+a+pull+request");
  await hit(page, "acme/merge_pull").getByText("The same tool: beta/merge_pull").waitFor();
  await page.locator("[data-mode=lexical]").waitFor();
  await page.getByText(/^Because .+\.$/).waitFor();
  await page.getByRole("textbox", { name: "The tool, by name or id" }).fill("beta/merge_pull");
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.locator("[data-verdict=grouped]").waitFor();
  await rm(join(server.folder, "acme.jsonl"));
  await until(async () => (await states(server)) === "stale,ready", "its file is gone");
  await field(page).fill("merge pull");
  await hit(page, "acme/merge_pull").getByText(/stale: listed \d+ s ago/).waitFor();
  await checkAccess(page);
  // By the same name in the catalog.
  await page.goto(`${server.url}/catalog?sort=twins`);
  await page.getByText("same tool on 1 server", { exact: true }).first().waitFor();
});

test("a server without tools says what to do", async (t) => {
  const page = await openPage(t, await startServer(t, { config: "\n" }));
  await page.getByRole("heading", { name: "There are no tools yet" }).waitFor();
  await checkAccess(page);
});

test("a phone shows all of it without scrolling sideways", async (t) => {
  const page = await openPage(t, await startServer(t), "/?q=create+an+event&why=files/search_files", { viewport: { width: 390, height: 844 } });
  await page.locator("[data-verdict]").waitFor();
  await hit(page, "calendar/create_event").getByRole("button", { name: "create_event" }).click();
  await checkWidth(page);
  await page.locator("summary", { hasText: "Filters" }).click();
  await checkWidth(page);
  await page.getByRole("button", { name: "Compare" }).click();
  await page.getByRole("region", { name: "Second", exact: true }).locator("[data-tool-id]").first().waitFor();
  await checkWidth(page);
  await checkAccess(page);
});

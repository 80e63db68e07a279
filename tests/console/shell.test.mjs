// What stands around every page.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { catalogOf, checkAccess, checkWidth, closeBrowser, openPage, startServer, until } from "./support.mjs";

after(closeBrowser);

const NAMES = ["Catalog", "Servers", "Quality", "Map", "Activity", "Search"];
const CATALOG = catalogOf("mail", { name: "send_mail", description: "Send an e-mail" });

const isHere = (page, name) => page.getByRole("link", { name, exact: true }).and(page.locator("[aria-current=page]")).waitFor();

test("each page opens by its link and by its address, and has no serious finding of axe", async (t) => {
  const server = await startServer(t);
  // As whoever runs it: to others some pages are refused.
  const page = await openPage(t, server, `/#key=${await server.operator()}`);
  for (const name of NAMES) {
    await page.getByRole("navigation").getByRole("link", { name }).click();
    await isHere(page, name);
    await page.reload();
    await isHere(page, name);
    await checkAccess(page);
  }
  assert.equal(new URL(page.url()).pathname, "/");
  assert.equal(await page.title(), "toolscout");
  await page.getByText(/generation \d+ · \d+ tools · (lexical|hybrid)/).waitFor();
});

test("on a phone every page is as wide as the screen", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, `/#key=${await server.operator()}`, { viewport: { width: 390, height: 844 }, hasTouch: true });
  for (const name of NAMES) {
    await page.getByRole("navigation").getByRole("link", { name }).tap();
    await isHere(page, name);
    await checkWidth(page);
    await page.getByRole("button", { name: "Keys" }).waitFor();
  }
  await checkAccess(page);
});

test("the keyboard goes everywhere", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, `/servers#key=${await server.operator()}`);
  await isHere(page, "Servers");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await checkAccess(page);
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  for (const [key, name] of ["cCatalog", "vServers", "qQuality", "mMap", "aActivity"].map((pair) => [pair[0], pair.slice(1)])) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await isHere(page, name);
    assert.equal(await page.title(), `${name} · toolscout`);
  }
  await page.keyboard.press("/");
  await isHere(page, "Search");
  // The first stop of Tab leaps over the bar.
  await page.goto(`${server.url}/servers`);
  await isHere(page, "Servers");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  // Who speaks rather than types can switch the letters off; the button stays.
  await page.getByRole("button", { name: "Keys" }).click();
  await page.getByLabel("Letters are keys").uncheck();
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("c");
  await page.keyboard.press("?");
  await isHere(page, "Servers");
  assert.equal(await page.getByRole("dialog").count(), 0);
});

test("colours follow the system until somebody chooses, and the choice stays", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/", { colorScheme: "dark" });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.getByRole("button", { name: "Colours: system. Change to light" }).click();
  await until(async () => (await ground()) !== dark, "it is light");
  await page.reload();
  await page.getByRole("button", { name: "Colours: light. Change to dark" }).click();
  await until(async () => (await ground()) === dark, "it is dark again");
});

test("what does not do as it should is told on every page, and that the server is gone until it is back", async (t) => {
  const config = "[servers.files]\ncatalog = 'catalog.jsonl'\n[servers.far]\nurl = 'http://127.0.0.1:1/mcp'\n";
  const files = { "catalog.jsonl": CATALOG };
  const server = await startServer(t, { config, files });
  const expected = [/ERR_CONNECTION_REFUSED/, /ERR_CONNECTION_RESET/, /status of 503/];
  const page = await openPage(t, server, "/map", { expected });
  const banner = page.getByRole("status").filter({ hasText: "1 failed: not reached" });
  await banner.waitFor();
  await checkAccess(page);
  await banner.getByRole("link", { name: "See the servers" }).click();
  await isHere(page, "Servers");
  await banner.waitFor();

  await server.stop();
  await page.getByRole("status").filter({ hasText: "it can't be reached" }).waitFor();
  await checkAccess(page);
  await startServer(t, { config, files, listen: new URL(server.url).host });
  await banner.waitFor();
  assert.equal(await page.getByText("it can't be reached").count(), 0);
});

test("a script that is not ours does not run, and no text becomes HTML", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/", { expected: [/Content Security Policy/, /'Trusted(HTML|Script)'/, /directly modified/] });
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.append("window.ran = true");
    const link = document.createElement("a");
    link.href = "javascript:void (window.ran = true)";
    document.body.append(script, link);
    link.click();
    return fetch("https://elsewhere.example/").catch(() => {});
  });
  assert.equal(await page.evaluate(() => window.ran), undefined);
  await assert.rejects(
    page.evaluate(() => (document.body.innerHTML = "<img src=x onerror='window.ran = true'>")),
    /TrustedHTML/,
  );
});

test("an address that is none is told, with the way back", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server, "/", { expected: [/status of 404/] });
  // What the server does not know it does not send the console for.
  const answer = await page.goto(`${server.url}/nowhere`);
  assert.equal(answer.status(), 404);
  await page.goto(server.url);
  await page.evaluate(() => history.pushState(null, "", "/nowhere"));
  await page.evaluate(() => dispatchEvent(new PopStateEvent("popstate")));
  await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  await page.getByRole("main").getByRole("link", { name: "search" }).click();
  await isHere(page, "Search");
});

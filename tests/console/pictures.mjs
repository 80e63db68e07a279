// The pictures of README.md and docs/console.md, of the demo. By scripts/console-pictures.sh.
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { closeBrowser, command, openPage, ROOT, startServer } from "./support.mjs";

const TO = process.env.PICTURES ?? join(ROOT, "docs");
const MOST = 150_000;
const QUERY = "/?q=book+a+meeting";

const PICTURES = [
  { name: "search", path: QUERY },
  { name: "search-dark", path: QUERY, colorScheme: "dark" },
  { name: "search-phone", path: QUERY, viewport: { width: 390, height: 844 } },
  { name: "catalog", path: "/catalog?tool=payments%2Frefund_payment" },
  { name: "servers", path: "/servers?server=payments" },
  { name: "quality", path: "/quality", until: (page) => evaluate(page) },
  { name: "map", path: "/map?q=refund+a+payment", until: (page) => page.locator("canvas").waitFor({ timeout: 120_000 }) },
  { name: "activity", path: "/activity" },
];

async function evaluate(page) {
  await page.getByLabel("Or one that is kept here").selectOption({ index: 1 });
  await page.getByRole("button", { name: "Evaluate" }).click();
  await page.getByRole("region", { name: /^Result of/ }).waitFor({ timeout: 120_000 });
}

const ends = [];
const t = { after: (end) => ends.push(end) };
const server = await startServer(t);
// What an operator sees, who has used it for a while.
const { hash } = new URL((await command(server, ["console", "--url", server.url])).trim());
for (const query of ["book a meeting", "refund a payment", "open an issue", "deploy the service", "translate a page"]) {
  for (let times = 0; times < 4; times++) await fetch(`${server.url}/v1/search?q=${encodeURIComponent(query)}`);
}
await mkdir(TO, { recursive: true });
let isLarge = false;
for (const { name, path, until: isThere, ...options } of PICTURES) {
  const page = await openPage(t, server, path + hash, { viewport: { width: 1280, height: 620 }, ...options });
  await page.getByRole("button", { name: "Log out" }).waitFor();
  await isThere?.(page);
  // Whatever it asks for is there, and has been drawn.
  await page.waitForLoadState("networkidle", { timeout: 5000 }).catch(() => {});
  const file = join(TO, `console-${name}.png`);
  await page.screenshot({ path: file, animations: "disabled", caret: "hide" });
  const { size } = await stat(file);
  isLarge ||= size > MOST;
  console.log(`${file}: ${Math.round(size / 1000)} KB${size > MOST ? ", which is more than is wanted" : ""}`);
}
for (const end of ends.reverse()) await end();
await closeBrowser();
process.exitCode = isLarge ? 1 : 0;

// What stands around every page.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { checkAccess, closeBrowser, openPage, startServer } from "./support.mjs";

after(closeBrowser);

test("each page opens by its link and by its address, and has no serious finding of axe", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, server);
  for (const name of ["Catalog", "Servers", "Quality", "Map", "Activity", "Search"]) {
    await page.getByRole("navigation").getByRole("link", { name }).click();
    await page.getByRole("link", { name, exact: true }).and(page.locator("[aria-current=page]")).waitFor();
    await page.reload();
    await page.getByRole("link", { name, exact: true }).and(page.locator("[aria-current=page]")).waitFor();
    await checkAccess(page);
  }
  assert.equal(new URL(page.url()).pathname, "/");
});

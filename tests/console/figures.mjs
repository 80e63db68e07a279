// How much a first load of the console is, and how soon its first page can be used, on loopback.
// Printed and not asserted: it depends on the machine. By scripts/console-test.sh --figures.
import { closeBrowser, openPage, startServer } from "./support.mjs";

const TIMES = 11;

/** As node:test has it: what is to be done at the end. */
const ends = [];
const t = { after: (end) => ends.push(end) };

/** Notes when the page first has a field to type in, and has had time to listen to it. */
const note = () => {
  const look = new MutationObserver(() => {
    if (!document.querySelector("main *")) return;
    look.disconnect();
    requestAnimationFrame(() => setTimeout(() => (window.usable = performance.now())));
  });
  look.observe(document, { childList: true, subtree: true });
};

const server = await startServer(t);
const found = [];
for (let at = 0; at < TIMES; at++) {
  // A context of its own: nothing is kept of the time before.
  const page = await openPage(t, { url: "" }, "about:blank");
  await page.addInitScript(note);
  await page.goto(`${server.url}/`);
  await page.waitForFunction(() => window.usable);
  found.push(
    await page.evaluate(() => {
      const files = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
      const built = files.filter(({ name }) => new URL(name).pathname === "/" || /\/console\/app/.test(name));
      const painted = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN;
      return { usable: window.usable, painted, sent: built.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0) };
    }),
  );
}
const median = (name) => found.map((one) => one[name]).sort((a, b) => a - b)[TIMES >> 1];
console.log(`first load: ${(median("sent") / 1000).toFixed(1)} KB as sent`);
console.log(`first paint: ${median("painted").toFixed(0)} ms, usable: ${median("usable").toFixed(0)} ms (medians of ${TIMES}, debug build, loopback)`);
for (const end of ends.reverse()) await end();
await closeBrowser();

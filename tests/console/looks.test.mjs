// The pages look as they do in the pictures of README.md and docs/console.md, loosely: where there is
// something in the picture there is something on the page, and nothing where there is nothing.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { blankPage, closeBrowser, ROOT } from "./support.mjs";

/** How alike they have to be: text of another moment makes .9 of it, another layout of the map .6, another page .1. */
const ALIKE = 0.7;

after(closeBrowser);

/** How much each tile of two pictures differs from its neighbourhood, and how alike both are in that (Pearson). */
async function alike(page, one, other) {
  return page.evaluate(
    async ([one, other]) => {
      const TILE = 20;
      async function ink(data) {
        const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob());
        const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
        context.drawImage(image, 0, 0);
        const tiles = [];
        for (let y = 0; y + TILE <= image.height; y += TILE) {
          for (let x = 0; x + TILE <= image.width; x += TILE) {
            const { data } = context.getImageData(x, y, TILE, TILE);
            let edges = 0;
            for (let at = 4; at < data.length; at += 4) edges += Math.abs(data[at + 1] - data[at - 3]) > 40 ? 1 : 0;
            tiles.push(edges);
          }
        }
        return tiles;
      }
      const [a, b] = [await ink(one), await ink(other)];
      if (a.length !== b.length) return 0;
      const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
      const [meanA, meanB] = [mean(a), mean(b)];
      const cov = mean(a.map((value, at) => (value - meanA) * (b[at] - meanB)));
      const spread = (list, middle) => Math.sqrt(mean(list.map((value) => (value - middle) ** 2)));
      // Nothing at all is like nothing.
      return cov / (spread(a, meanA) * spread(b, meanB) || Infinity);
    },
    [one, other],
  );
}

test("every page looks as in its picture, and no page as in that of another", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "toolscout-looks-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const script = join(ROOT, "tests/console/pictures.mjs");
  const taking = spawn(process.execPath, [script], { env: { ...process.env, PICTURES: folder }, stdio: ["ignore", "ignore", "inherit"] });
  const code = await new Promise((done) => taking.on("exit", done));
  assert.equal(code, 0, "a picture could not be taken, or is too large");
  const page = await blankPage(t);
  const names = (await readdir(folder)).sort();
  assert.equal(names.length, 8);

  const read = async (path) => (await readFile(path)).toString("base64");
  const found = {};
  for (const name of names) found[name] = await alike(page, await read(join(folder, name)), await read(join(ROOT, "docs", name)));
  t.diagnostic(JSON.stringify(found));
  // The search page is there in three pictures.
  const others = names.filter((name) => !name.startsWith("console-search"));
  const confused = [];
  for (const name of others) {
    for (const other of others.filter((other) => other !== name)) {
      const value = await alike(page, await read(join(folder, name)), await read(join(ROOT, "docs", other)));
      if (value >= ALIKE) confused.push(`${name} as ${other}: ${value}`);
    }
  }

  assert.deepEqual(Object.entries(found).filter(([, value]) => value < ALIKE), []);
  assert.deepEqual(confused, []);
});

#!/usr/bin/env node
// The client that the MCP conformance suite runs: what a user of toolscout does. Crawl the server;
// where it wants a login, log in (tests/conformance/browser.mjs is the browser) and crawl again.
// Usage: client.mjs URL, with TOOLSCOUT naming the program.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const url = process.argv.at(-1);
const scenario = process.env.MCP_CONFORMANCE_SCENARIO ?? "";
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}");
const oauth = [];
if (scenario.includes("client-credentials")) oauth.push('grant = "client_credentials"');
if (context.client_id) oauth.push(`client_id = "${context.client_id}"`);
if (context.client_secret) oauth.push(`client_secret = "${context.client_secret}"`);
if (scenario === "auth/basic-cimd") {
  oauth.push('client_metadata_url = "https://conformance-test.local/client-metadata.json"');
}

const folder = mkdtempSync(join(tmpdir(), "toolscout-"));
const toolscout = (...args) => {
  const ran = spawnSync(process.env.TOOLSCOUT, [...args, "--data", "data"], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, BROWSER: new URL("browser.mjs", import.meta.url).pathname },
  });
  process.stderr.write(`$ toolscout ${args.join(" ")}\n${ran.stdout}${ran.stderr}`);
  return ran;
};
const crawl = () => JSON.parse(toolscout("crawl", "--json").stdout)[0].state;

const table = oauth.length ? ["[servers.server.oauth]", ...oauth] : [];
const lines = ["[servers.server]", `url = "${url}"`, ...table, ""];
writeFileSync(join(folder, "toolscout.toml"), lines.join("\n"));
let state = crawl();
for (let tries = 0; state === "auth_required" && tries < 3; tries++) {
  if (toolscout("auth", "login", "server").status !== 0) break;
  state = crawl();
}
rmSync(folder, { recursive: true });
process.exit(state === "ready" ? 0 : 1);

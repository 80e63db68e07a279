// What is copied for use elsewhere.
//
// Invariant: no secret: where a credential is needed the name of a variable stands in its place.
import { useState } from "preact/hooks";
import { credential, get } from "../../api";
import { Dialog } from "../../parts/dialog";
import { view } from "../../session";
import { type Config, address, searchPath } from "./asked";

/** `without` says what of the search the text leaves out. */
export type Copyable = [name: string, text: () => string | Promise<string>, without?: string];

/** Buttons of which each copies something, and says so. */
export function Copies({ label, copies }: { label: string; copies: Copyable[] }) {
  const [told, setTold] = useState("");
  const [byHand, setByHand] = useState<string>();
  const copy = async ([name, make, without]: Copyable) => {
    setTold("");
    let text = "";
    try {
      text = await make();
    } catch (error) {
      return setTold(`Not copied: ${error instanceof Error ? error.message : error}`);
    }
    try {
      await navigator.clipboard.writeText(text);
      setTold(`Copied: ${name}${without ? `, without ${without}` : ""}`);
    } catch {
      // There is no clipboard on a page without TLS, or it is denied.
      setByHand(text);
    }
  };
  return (
    <div class="copies" role="group" aria-label={label}>
      <span class="small">{label}</span>
      {copies.map((one) => (
        <button key={one[0]} type="button" class="small-button" onClick={() => copy(one)}>
          {one[0]}
        </button>
      ))}
      <span class="small told" role="status">
        {told}
      </span>
      {byHand !== undefined && (
        <Dialog title="Copy by hand" close={() => setByHand(undefined)}>
          <p>This page may not write to the clipboard.</p>
          <textarea aria-label="To copy" rows={12} readOnly value={byHand} ref={(area) => area?.select()} />
        </Dialog>
      )}
    </div>
  );
}

/** A search, for other programs. */
export function ofSearch(asked: Config, why: string): Copyable[] {
  return [
    ["curl", () => curl(asked)],
    ["MCP call", () => mcpCall(asked, "search_tools", searchArguments(asked)), asked.arm && "“Ranked by”: MCP ranks by words and meaning"],
    ["Anthropic tools", () => inFormat(asked, "anthropic")],
    ["OpenAI tools", () => inFormat(asked, "openai")],
    ["link", () => location.origin + address({ ...asked, why })],
  ];
}

/** A tool that was found by `asked`. */
export function ofTool(asked: Config, id: string, definition: unknown): Copyable[] {
  return [
    ["id", () => id],
    ["definition", () => JSON.stringify(definition, null, 2)],
    ["MCP call of the tool", () => mcpCall(asked, "call_tool", { id, arguments: {} })],
    ["Anthropic tool", () => inFormat(asked, "anthropic", id)],
    ["OpenAI tool", () => inFormat(asked, "openai", id)],
  ];
}

/** As this page asks, for the tenant and the profile that are looked at. */
function curl(asked: Config): string {
  return curlOf(placeOf(view().profile) + (searchPath(asked) ?? "/v1/search"));
}

/** Where the same is served of a profile. */
function placeOf(profile: string | undefined): string {
  return profile ? `/p/${encodeURIComponent(profile)}` : "";
}

function curlOf(path: string, headers: string[] = [], body?: string): string {
  const { tenant } = view();
  // The variable is the shell's: it is filled in between these quotes alone.
  const all = [credential() && `"authorization: Bearer $TOOLSCOUT_KEY"`, tenant && quoted(`x-toolscout-tenant: ${tenant}`), ...headers.map(quoted)];
  const args = all.flatMap((header) => (header ? [`-H ${header}`] : []));
  return ["curl", ...args, ...(body === undefined ? [] : [`-d ${quoted(body)}`]), quoted(location.origin + path)].join(" ");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A call of one of our tools, at the endpoint of the profile that is asked. */
function mcpCall(asked: Config, name: string, args: Record<string, unknown>): string {
  const call = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } }, null, 2);
  const headers = ["content-type: application/json", "accept: application/json, text/event-stream"];
  return curlOf(`${placeOf(view().profile || asked.profile)}/mcp`, headers, call);
}

function searchArguments(asked: Config): Record<string, unknown> {
  const args: Record<string, unknown> = { query: asked.q };
  if (asked.servers.length) args.servers = asked.servers;
  for (const name of ["read_only", "destructive", "open_world"] as const) if (asked[name]) args[name] = asked[name] === "1";
  for (const name of ["limit", "token_budget"] as const) if (asked[name]) args[name] = Number(asked[name]);
  return args;
}

/** The answer as a host takes it, or the one tool of it. */
async function inFormat(asked: Config, format: string, id?: string): Promise<string> {
  const path = searchPath(asked, { format, explain: "1" });
  if (!path) throw new Error("there is nothing to search for");
  const { result, ids } = await get<{ result: unknown[]; ids: string[] }>(path);
  const wanted = id === undefined ? result : result[ids.indexOf(id)];
  if (wanted === undefined) throw new Error("the tool is no longer in the answer");
  return JSON.stringify(wanted, null, 2);
}

// What is asked, as the address has it: every search can be passed on as a link.
//
// Invariant: what is written is read back the same, and what the address does not say is the default.

/** The words that may stand once, in the order in which they are written. */
const SINGLE = ["q", "arm", "read_only", "destructive", "open_world", "limit", "token_budget", "profile"] as const;

/** One way of asking; a text that is empty says nothing. */
export type Config = Record<(typeof SINGLE)[number], string> & { servers: string[] };

export interface Asked extends Config {
  /** The tool that is asked about, by id. */
  why: string;
  /** What the second of two ways of asking says otherwise; `undefined` while nothing is compared. */
  compare: Partial<Config> | undefined;
}

export function read(search: string): Asked {
  const params = new URLSearchParams(search);
  const compare = params.get("compare");
  const servers = params.getAll("server");
  const single = Object.fromEntries(SINGLE.map((name) => [name, params.get(name) ?? ""]));
  return { ...single, servers, why: params.get("why") ?? "", compare: compare === null ? undefined : readSome(compare) } as Asked;
}

/** The address of the page with this search. */
export function address(asked: Config & { why?: string; compare?: Partial<Config> | undefined }): string {
  const params = paramsOf(asked);
  if (asked.why) params.set("why", asked.why);
  if (asked.compare) params.set("compare", writeSome(asked.compare));
  const text = params.toString();
  return text ? `/?${text}` : "/";
}

/** The path that answers; null while there is nothing to answer. `beside` is asked for as well. */
export function searchPath(asked: Config, beside: Record<string, string> = {}): string | null {
  if (!/[\p{L}\p{N}]/u.test(asked.q)) return null;
  const params = paramsOf(asked);
  for (const [name, value] of Object.entries(beside)) if (value) params.set(name, value);
  return `/v1/search?${params}`;
}

/** The second of two ways of asking. */
export function other(asked: Asked): Config {
  return { ...configOf(asked), ...asked.compare };
}

export function configOf(asked: Config): Config {
  const single = Object.fromEntries(SINGLE.map((name) => [name, asked[name]]));
  return { ...single, servers: asked.servers } as Config;
}

/** What `config` says otherwise than `base`. */
export function difference(config: Config, base: Config): Partial<Config> {
  const single = SINGLE.filter((name) => config[name] !== base[name]).map((name) => [name, config[name]]);
  const servers = config.servers.join("\n") === base.servers.join("\n") ? {} : { servers: config.servers };
  return { ...Object.fromEntries(single), ...servers };
}

/** How many filters there are beside the text. */
export function filters(config: Config): number {
  return SINGLE.filter((name) => name !== "q" && config[name]).length + config.servers.length;
}

function paramsOf(config: Config): URLSearchParams {
  const params = new URLSearchParams();
  for (const name of SINGLE) if (config[name]) params.set(name, config[name]);
  for (const server of config.servers) params.append("server", server);
  return params;
}

function readSome(text: string): Partial<Config> {
  const params = new URLSearchParams(text);
  const single = SINGLE.filter((name) => params.has(name)).map((name) => [name, params.get(name)]);
  // One that is empty stands for none, where the first way of asking has some.
  const servers = params.getAll("server").filter(Boolean);
  return { ...Object.fromEntries(single), ...(params.has("server") ? { servers } : {}) };
}

function writeSome(some: Partial<Config>): string {
  const params = new URLSearchParams();
  for (const name of SINGLE) if (some[name] !== undefined) params.set(name, some[name]);
  for (const server of some.servers ?? []) params.append("server", server);
  if (some.servers?.length === 0) params.append("server", "");
  return params.toString();
}

// What is asked of the server, and how it is told when that fails.
import { useCallback, useEffect, useState } from "preact/hooks";
import { fresh, refused, renewed, view } from "./session";
import { onBack } from "./vitals";

export { askForLogin, credential, keepCredential, onLogin } from "./session";

/** What the server said when it refused (RFC 9457), or that it could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string,
  ) {
    super(message);
  }
}

export type Params = Record<string, string | number | boolean | null | undefined>;

/** A path with its parameters; those without a value are left out. */
export function withParams(path: string, params: Params = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

/** Paths that are answered for a profile as well. */
const SCOPED = /^\/v1\/(search|select|tools|servers|status|events|map|feedback|anthropic|openai|call)\b/;
/** What is the same whatever one looks at. */
const UNSCOPED = /^\/v1\/(me|admin\/tenants)\b/;

/** As the caller; `as` is who to be instead, to see whether that counts. */
export async function request(path: string, init: RequestInit = {}, as?: string): Promise<Response> {
  let shown = as ?? (await fresh());
  let response = await ask(path, init, shown);
  if (response.status === 401 && shown && !as) {
    const next = await renewed(shown);
    if (next !== shown) response = await ask(path, init, (shown = next));
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  const detail = body.detail ?? `the server answered ${response.status}`;
  if (response.status === 401 && as === undefined) refused(shown, detail);
  throw new ApiError(
    response.status,
    String(body.type ?? "").split(":").pop() ?? "",
    detail,
    body.request_id ?? response.headers.get("x-request-id") ?? "",
  );
}

async function ask(path: string, init: RequestInit, shown: string | null): Promise<Response> {
  const headers = new Headers(init.headers);
  if (shown) headers.set("authorization", `Bearer ${shown}`);
  const { tenant, profile } = view();
  if (tenant && !UNSCOPED.test(path)) headers.set("x-toolscout-tenant", tenant);
  const at = profile && SCOPED.test(path) ? `/p/${encodeURIComponent(profile)}${path}` : path;
  try {
    return await fetch(at, { ...init, headers, credentials: "omit", cache: "no-store" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "toolscout can't be reached: is it running?", "");
  }
}

export async function get<T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  const response = await request(withParams(path, params), signal ? { signal } : {});
  return response.json();
}

export async function send<T>(method: "POST" | "PUT" | "DELETE", path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "content-type": "application/json" };
  }
  const response = await request(path, init);
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

export interface Loaded<T> {
  data: T | undefined;
  error: ApiError | undefined;
  isLoading: boolean;
  reload: () => void;
}

/** What `path` answers; asked anew when it changes. The last question's answer wins, what was there stays until then. */
export function useData<T>(path: string | null): Loaded<T> {
  const [state, setState] = useState<{ data?: T | undefined; error?: ApiError | undefined; isLoading: boolean }>({ isLoading: path !== null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (path === null) return setState({ isLoading: false });
    const abort = new AbortController();
    setState((before) => ({ ...before, isLoading: true }));
    get<T>(path, undefined, abort.signal)
      .then((data) => setState({ data, isLoading: false }))
      .catch((error: unknown) => {
        if (!abort.signal.aborted) setState((before) => ({ ...before, error: asApiError(error), isLoading: false }));
      });
    return () => abort.abort();
  }, [path, turn]);
  const reload = useCallback(() => setTurn((turn) => turn + 1), []);
  // What failed for want of a server is asked again when it is there.
  const wants = state.error && (state.error.status === 0 || state.error.status === 503);
  useEffect(() => (wants ? onBack(reload) : undefined), [wants, reload]);
  return { data: state.data, error: state.error, isLoading: state.isLoading, reload };
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(0, "console", String(error), "");
}

/**
 * Follows a stream of server-sent events until `signal`; over `fetch`, since an EventSource sends no
 * credential. When it breaks off it is opened again, later each time.
 */
export async function follow(path: string, signal: AbortSignal, told: (event: string, data: string) => void) {
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      const response = await request(path, { signal, headers: { accept: "text/event-stream" } });
      let rest = "";
      const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
        if (done) break;
        tries = 0;
        const events = (rest + value).split(/\r?\n\r?\n/);
        rest = events.pop() ?? "";
        for (const event of events) tell(event, told);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    }
    await new Promise((wake) => setTimeout(wake, Math.min(30_000, 500 * 2 ** tries)));
  }
}

function tell(event: string, told: (event: string, data: string) => void) {
  let name = "message";
  const data: string[] = [];
  for (const line of event.split(/\r?\n/)) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  if (data.length) told(name, data.join("\n"));
}

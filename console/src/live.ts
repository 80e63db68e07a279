// What the server publishes, as it happens: its servers, and each generation of the catalog.
import { useEffect, useRef, useState } from "preact/hooks";
import { asApiError, follow, type ApiError } from "./api";

/** A server as /v1/servers has it. */
export interface Server {
  id: string;
  title: string | null;
  state: "ready" | "stale" | "connecting" | "auth_required" | "failed" | "disabled" | "paused" | "pending_approval";
  protocol: string | null;
  transport: string;
  tools: number | null;
  ttl_s?: number;
  private?: boolean;
  age_s: number | null;
  next_crawl_s: number | null;
  error?: string;
  login_url?: string;
  defects?: string[];
  held: number;
  quarantined: number;
  suspicious: number;
}

/** The same, with its times as times: they are told as seconds from when they are sent. */
export interface LiveServer extends Server {
  listedAt: number | undefined;
  nextAt: number | undefined;
}

export interface Generation {
  generation: number;
  total: number;
  added: number;
  removed: number;
  changed: number;
  /** Whose tools those are; absent where they are too many to be named. */
  servers?: string[];
}

export interface Live {
  generation: number;
  total: number;
  /** By id, in its order. */
  servers: Map<string, LiveServer>;
}

/**
 * Follows /v1/events while the page is seen; `told` hears of each generation, and of a new beginning.
 * A browser opens few connections to one server, so a page in the background holds none.
 */
export function useLive(told?: (event: Generation | "anew") => void): { live: Live | undefined; error: ApiError | undefined } {
  const [live, setLive] = useState<Live>();
  const [error, setError] = useState<ApiError>();
  const hears = useRef(told);
  hears.current = told;
  useEffect(() => {
    let abort = new AbortController();
    let generation: number | undefined;
    const onEvent = (name: string, text: string) => {
      const data = JSON.parse(text);
      if (name === "state") {
        // A stream that was opened again may have missed some.
        if (generation !== undefined && generation !== data.generation) hears.current?.("anew");
        generation = data.generation;
        setLive({ generation: data.generation, total: data.total, servers: byId([], data.servers, []) });
      } else if (name === "generation") {
        generation = data.generation;
        hears.current?.(data);
        setLive((now) => now && { ...now, generation: data.generation, total: data.total });
      } else if (name === "servers") {
        setLive((now) => now && { ...now, servers: byId(now.servers.values(), data.servers, data.gone) });
      }
    };
    const look = () => {
      abort.abort();
      if (document.hidden) return;
      abort = new AbortController();
      follow("/v1/events", abort.signal, onEvent).catch((error: unknown) => setError(asApiError(error)));
    };
    look();
    document.addEventListener("visibilitychange", look);
    return () => {
      abort.abort();
      document.removeEventListener("visibilitychange", look);
    };
  }, []);
  return { live, error };
}

function byId(known: Iterable<LiveServer>, told: Server[], gone: string[]): Map<string, LiveServer> {
  const at = Date.now();
  const all = new Map([...known].map((server) => [server.id, server]));
  for (const server of told) {
    const listedAt = server.age_s === null ? undefined : at - 1000 * server.age_s;
    const nextAt = server.next_crawl_s === null ? undefined : at + 1000 * server.next_crawl_s;
    all.set(server.id, { ...server, listedAt, nextAt });
  }
  for (const id of gone) all.delete(id);
  return new Map([...all].sort(([a], [b]) => (a < b ? -1 : 1)));
}

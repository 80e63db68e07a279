// What is asked, and what is known of the servers.
import { useEffect, useMemo, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { useData } from "../../api";
import { useTyped } from "../../parts/typed";
import { onLook } from "../../vitals";
import { type Asked, address, read } from "./asked";
import type { Server } from "./filters";
import { keepRecent } from "./start";

/** Milliseconds that somebody who types is waited for. */
export const PAUSE = 120;
/** Milliseconds without typing after which a search is one to come back to. */
const SETTLED = 1_500;
/** Milliseconds after which the servers are asked anew. */
const OLD = 30_000;

/** What the address asks, and what is typed on the way to the next address. */
export function useAsked() {
  const { url, route } = useLocation();
  const asked = useMemo(() => read(new URL(url, location.origin).search), [url]);
  const now = useRef(asked);
  now.current = asked;
  // A search that was looked at is one that Back leads to; those on the way to it are not.
  const isSettled = useRef(true);
  const go = (change: Partial<Asked>, push = true) => route(address({ ...now.current, ...change }), !push);
  const [text, type, tellNow] = useTyped(asked.q, PAUSE, (q) => {
    go({ q }, isSettled.current);
    isSettled.current = false;
  });
  const settle = () => {
    tellNow();
    isSettled.current = true;
    if (text.trim()) keepRecent(text.trim());
  };
  useEffect(() => {
    const timer = setTimeout(() => {
      isSettled.current = true;
      if (now.current.q.trim()) keepRecent(now.current.q.trim());
    }, SETTLED);
    return () => clearTimeout(timer);
  }, [asked.q]);
  return { asked, text, type, settle, go };
}

export interface Servers {
  list: Server[];
  byId: Map<string, Server>;
}

/** The servers; asked anew with another generation, and after a while: one that is listed without a change makes none. */
export function useServers(generation: number | undefined): Servers {
  const { data, reload } = useData<{ servers: Told[] }>("/v1/servers");
  const known = useRef(generation);
  useEffect(() => {
    if (generation !== undefined && generation !== known.current) reload();
    known.current = generation ?? known.current;
  }, [generation]);
  const { at, list, byId } = useMemo(() => {
    const at = Date.now();
    const list = (data?.servers ?? []).map(({ age_s, ...server }): Server => ({ ...server, listedAt: age_s === null ? undefined : at - 1000 * age_s }));
    return { at, list, byId: new Map(list.map((server) => [server.id, server])) };
  }, [data]);
  useEffect(() => onLook(() => Date.now() - at > OLD && reload()), [at, reload]);
  return { list, byId };
}

/** A server as it is answered: its age is that of the answer's moment. */
type Told = Omit<Server, "listedAt"> & { age_s: number | null };

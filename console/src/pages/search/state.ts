// What is asked, and what is known of the servers.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { useData } from "../../api";
import { type Asked, address, read } from "./asked";
import type { Server } from "./filters";
import { keepRecent } from "./start";

/** Milliseconds that somebody who types is waited for. */
export const PAUSE = 120;
/** Milliseconds without typing after which a search is one to come back to. */
const SETTLED = 1_500;

/** What the address asks, and what is typed on the way to the next address. */
export function useAsked() {
  const { url, route } = useLocation();
  const asked = useMemo(() => read(new URL(url, location.origin).search), [url]);
  const now = useRef(asked);
  now.current = asked;
  const [text, type] = useState(asked.q);
  const written = useRef(asked.q);
  // A search that was looked at is one that Back leads to; those on the way to it are not.
  const isSettled = useRef(true);
  const go = (change: Partial<Asked>, push = true) => {
    if (change.q !== undefined && change.q !== now.current.q) {
      written.current = change.q;
      type(change.q);
    }
    route(address({ ...now.current, ...change }), !push);
  };
  const settle = () => {
    if (text !== now.current.q) {
      written.current = text;
      route(address({ ...now.current, q: text }), !isSettled.current);
    }
    isSettled.current = true;
    if (text.trim()) keepRecent(text.trim());
  };
  useEffect(() => {
    if (asked.q !== written.current) type(asked.q);
    written.current = asked.q;
  }, [asked.q]);
  useEffect(() => {
    if (text === now.current.q) return;
    const timer = setTimeout(() => {
      written.current = text;
      route(address({ ...now.current, q: text }), !isSettled.current);
      isSettled.current = false;
    }, PAUSE);
    return () => clearTimeout(timer);
  }, [text]);
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

/** The servers, as they were when this generation answered. */
export function useServers(generation: number | undefined): Servers {
  const { data, reload } = useData<{ servers: Server[] }>("/v1/servers");
  const known = useRef(generation);
  useEffect(() => {
    if (generation !== undefined && generation !== known.current) reload();
    known.current = generation ?? known.current;
  }, [generation]);
  const list = data?.servers ?? [];
  const byId = useMemo(() => new Map(list.map((server) => [server.id, server])), [data]);
  return { list, byId };
}

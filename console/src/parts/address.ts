// What of a page stands in its address, so that whoever is sent it sees the same.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { withParams } from "../api";

/** Browsers refuse an address that is written with each key of somebody who holds one down. */
const RESTS = 150;
/** Parameters that open something. */
const OPENED = ["tool", "server"];

type Query = Record<string, string | undefined>;

/** The parameters of the page at `path`, and what changes some of them: at once for the page, in the address when they rest. */
export function useAddress(path: string): [Query, (change: Query) => void] {
  const { url, query, route } = useLocation();
  const [now, setNow] = useState<Query>(query);
  const wrote = useRef(url);
  useEffect(() => {
    // A link, or back and forth in the history; what was written here is known already.
    if (url !== wrote.current) setNow(query);
    wrote.current = url;
  }, [url]);
  useEffect(() => {
    const timer = setTimeout(() => {
      const next = withParams(path, now);
      if (next === wrote.current) return;
      // What is opened is a step of Back: on a phone it hides the list.
      const before = new URLSearchParams(wrote.current.split("?")[1]);
      const opens = OPENED.some((name) => now[name] && !before.get(name));
      wrote.current = next;
      route(next, !opens);
    }, RESTS);
    return () => clearTimeout(timer);
  }, [now]);
  const change = useCallback((change: Query) => setNow((before) => ({ ...before, ...change })), []);
  return [now, change];
}

// All tools of the catalog as rows, read in pages and kept up with what changes.
import { useEffect, useRef, useState } from "preact/hooks";
import { asApiError, get, type ApiError } from "../../api";
import { useLive, type Generation, type Live } from "../../live";

export interface Tool {
  id: string;
  name: string;
  server: string;
  title: string | null;
  tokens: number;
  bytes: number;
  /** Seconds since 1970. */
  firstSeen: number | null;
  /** Null as long as it has its first definition. */
  changed: number | null;
  changes: number;
  findings: number;
  held: boolean;
  twins: number;
  /** What the filter looks at. */
  key: string;
}

type Row = [string, number, string | null, number, number, number | null, number | null, number, number, boolean, number];

interface RowPage {
  generation: number;
  total: number;
  servers: string[];
  rows: Row[];
  next_cursor?: string;
}

const AT_ONCE = 5_000;

function toolOf([name, at, title, tokens, bytes, firstSeen, changed, changes, findings, held, twins]: Row, servers: string[]): Tool {
  const server = servers[at] ?? "";
  const id = `${server}/${name}`;
  return { id, name, server, title, tokens, bytes, firstSeen, changed, changes, findings, held, twins, key: `${id} ${title ?? ""}`.toLowerCase() };
}

/** The rows of these servers, of all without; `some` is told of each page. */
async function read(signal: AbortSignal, servers: string[] | undefined, some: (tools: Tool[], total: number) => void) {
  let cursor: string | undefined;
  do {
    const params = new URLSearchParams({ view: "rows", limit: String(AT_ONCE) });
    for (const server of servers ?? []) params.append("server", server);
    if (cursor) params.set("cursor", cursor);
    const page = await get<RowPage>(`/v1/tools?${params}`, undefined, signal);
    some(
      page.rows.map((row) => toolOf(row, page.servers)),
      page.total,
    );
    cursor = page.next_cursor;
  } while (cursor);
}

const byId = (a: Tool, b: Tool) => (a.id < b.id ? -1 : 1);

export interface Rows {
  /** By id. */
  tools: Tool[];
  /** How many there are, while not all are read yet. */
  total: number;
  isLoading: boolean;
  error: ApiError | undefined;
  live: Live | undefined;
  /** What changed last, and when that was told. */
  news: (Generation & { at: number }) | undefined;
  reload: () => void;
}

export function useRows(): Rows {
  const [state, setState] = useState<{ tools: Tool[]; total: number; isLoading: boolean; error?: ApiError | undefined }>({ tools: [], total: 0, isLoading: true });
  const [news, setNews] = useState<Rows["news"]>();
  const abort = useRef(new AbortController());
  const isWhole = useRef(false);

  const readAll = () => {
    abort.current.abort();
    abort.current = new AbortController();
    const { signal } = abort.current;
    // What is there stays until the new is: a list does not jump while it is read again.
    const keeps = isWhole.current;
    isWhole.current = false;
    let tools: Tool[] = [];
    setState((before) => ({ ...before, isLoading: true, error: undefined }));
    read(signal, undefined, (more, total) => {
      tools = [...tools, ...more];
      setState((before) => (keeps ? { ...before, total } : { tools, total, isLoading: true }));
    })
      .then(() => {
        isWhole.current = true;
        setState({ tools, total: tools.length, isLoading: false });
      })
      .catch((error: unknown) => {
        if (!signal.aborted) setState((before) => ({ ...before, error: asApiError(error), isLoading: false }));
      });
  };

  const readSome = (servers: string[]) => {
    const { signal } = abort.current;
    const fresh: Tool[] = [];
    read(signal, servers, (more) => fresh.push(...more))
      .then(() => {
        const of = new Set(servers);
        setState((before) => {
          const tools = [...before.tools.filter((tool) => !of.has(tool.server)), ...fresh].sort(byId);
          return { ...before, tools, total: tools.length };
        });
      })
      // A server that is gone is not known any more.
      .catch(() => !signal.aborted && readAll());
  };

  const { live } = useLive((event) => {
    if (event === "anew") return readAll();
    if (event.added + event.removed + event.changed === 0) return;
    setNews({ ...event, at: Date.now() });
    // What is being read may be of before or after.
    if (event.servers && isWhole.current) readSome(event.servers);
    else readAll();
  });
  useEffect(() => {
    readAll();
    return () => abort.current.abort();
  }, []);
  return { ...state, error: state.error, live, news, reload: readAll };
}

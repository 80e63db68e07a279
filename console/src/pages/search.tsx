// "Why did my agent not get this tool?": what a query finds, how each tool came to its place, and
// why another did not.
//
// Invariant: the address says what is asked and is the only place that does, but for what is being
// typed at the moment; so Back, links and a second tab show the same.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { useData } from "../api";
import { Empty, Failure, Waiting } from "../parts/state";
import "./search.css";
import { type Answer, type Asking, useAnswer } from "./search/answer";
import { type Asked, address, filters, read, searchPath } from "./search/asked";
import { Compare } from "./search/compare";
import { Copies, ofSearch } from "./search/copy";
import { Filters, type Server } from "./search/filters";
import { HitCard, mostOf } from "./search/hit";
import { keepRecent, Start } from "./search/start";
import { PAUSE, WhyNot } from "./search/why";

/** Milliseconds without typing after which a search is one to come back to. */
const SETTLED = 1_500;
const NO_FILTERS = { servers: [], arm: "", read_only: "", destructive: "", open_world: "", limit: "", token_budget: "", profile: "" };

export function Search() {
  const { asked, text, type, settle, go } = useAsked();
  const isComparing = asked.compare !== undefined;
  const asking = useAnswer(searchPath(asked, { explain: "1", why: asked.why }));
  const { answer } = asking;
  const servers = useServers(answer?.generation);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const place = useRef<HTMLDivElement>(null);
  const toggle = (id: string) => setOpen((before) => (before.has(id) ? new Set([...before].filter((other) => other !== id)) : new Set([...before, id])));
  const field = () => place.current?.querySelector<HTMLInputElement>("[data-search]");
  const onKeyDown = (event: KeyboardEvent) => {
    if (!(event.target instanceof HTMLElement) || event.ctrlKey || event.metaKey || event.altKey) return;
    const isField = event.target === field();
    if (!isField && !event.target.closest(".results")) return;
    const all = [...(place.current?.querySelectorAll<HTMLElement>(".results .hit-open") ?? [])];
    const at = all.findIndex((hit) => hit === event.target || hit.closest("li")?.contains(event.target as Node));
    if (event.key === "Escape") {
      if (isField) field()?.blur();
      else field()?.focus();
    } else if (isField && event.key === "Enter") {
      settle();
      all[0]?.focus();
      const first = answer?.tools?.[0];
      if (first && !isComparing && !open.has(first.id)) toggle(first.id);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!isField && /^(INPUT|SELECT|TEXTAREA|PRE)$/.test(event.target.tagName)) return;
      event.preventDefault();
      const to = isField ? 0 : at + (event.key === "ArrowDown" ? 1 : -1);
      if (isField) settle();
      if (to < 0) field()?.focus();
      else all[to]?.focus();
    }
  };
  const why = (id: string) => go({ why: id });
  return (
    <div class="search-page" ref={place} onKeyDown={onKeyDown}>
      <h1 class="visually-hidden">Search</h1>
      <div class="ask">
        <input
          data-search
          type="text"
          role="searchbox"
          aria-label="What should the tool do?"
          aria-keyshortcuts="/"
          enterkeyhint="search"
          placeholder="What should the tool do? (/)"
          spellcheck={false}
          autocomplete="off"
          autoFocus
          value={text}
          onInput={(event) => type(event.currentTarget.value)}
          onBlur={settle}
        />
        <button type="button" aria-pressed={isComparing} onClick={() => go({ compare: isComparing ? undefined : {} })}>
          Compare
        </button>
      </div>
      <details class="filter-box" open={filters(asked) > 0}>
        <summary>Filters{filters(asked) > 0 && ` (${filters(asked)})`}</summary>
        <Filters config={asked} change={(change) => go(change)} servers={servers.list} />
      </details>
      <div class="panes">
        <div class="results">
          {isComparing ? (
            <Compare asked={asked} first={asking} change={(compare) => go({ compare }, false)} servers={servers.list} />
          ) : (
            <Results
              asked={asked}
              asking={asking}
              servers={servers}
              open={open}
              toggle={toggle}
              askWhy={why}
              search={(q) => {
                keepRecent(q);
                go({ q });
              }}
              clear={() => go(NO_FILTERS)}
            />
          )}
        </div>
        <aside class={asked.why ? "asked-why" : ""}>
          <WhyNot id={asked.why} asked={asked} answer={answer} choose={why} change={(change) => go(change)} />
        </aside>
      </div>
    </div>
  );
}

interface ResultsProps {
  asked: Asked;
  asking: Asking & { again: () => void };
  servers: ReturnType<typeof useServers>;
  open: ReadonlySet<string>;
  toggle: (id: string) => void;
  askWhy: (id: string) => void;
  search: (text: string) => void;
  clear: () => void;
}

function Results({ asked, asking, servers, open, toggle, askWhy, search, clear }: ResultsProps) {
  const { answer, error, isWaiting, again } = asking;
  if (error) {
    return (
      <>
        <Failure error={error} again={again} />
        {error.status === 503 && <p class="state">It is asked again until it answers.</p>}
        {error.status === 400 && filters(asked) > 0 && (
          <p class="state">
            <button type="button" onClick={clear}>
              Ask without filters
            </button>
          </p>
        )}
      </>
    );
  }
  if (!answer) return isWaiting ? <Waiting what="Searching" /> : <Start servers={servers.list} search={search} />;
  const { tools } = answer;
  if (!tools) return <Empty title="This profile answers in a host’s format">Ask without the profile to see each tool and how it came to its place.</Empty>;
  const stale = new Map(answer.stale.map(({ server, age_s }) => [server, age_s]));
  const most = mostOf(tools);
  return (
    <>
      <p class="visually-hidden" role="status">
        {tools.length} {tools.length === 1 ? "tool" : "tools"} found
      </p>
      <div class="told-row" aria-busy={isWaiting}>
        <Told answer={answer} trip={asking.trip} />
        <Copies label="Copy as" copies={ofSearch(asked, asked.why)} />
      </div>
      {tools.length === 0 ? (
        <Nothing asked={asked} clear={clear} />
      ) : (
        answer.no_good_match && (
          <p class="notice">
            <strong>None of these is likely to be what was meant.</strong> Say what the tool does, in other words; or name the tool that you expected, under “Why not this tool?”.
          </p>
        )
      )}
      <ol class="hits" aria-label="Tools found, best first">
        {tools.map((hit, at) => (
          <HitCard
            key={hit.id}
            hit={hit}
            place={at + 1}
            asked={asked}
            server={servers.byId.get(hit.server)}
            stale={stale.get(hit.server)}
            most={most}
            isOpen={open.has(hit.id)}
            toggle={() => toggle(hit.id)}
            askWhy={askWhy}
          />
        ))}
      </ol>
    </>
  );
}

function Told({ answer, trip }: { answer: Answer; trip: number | undefined }) {
  const { tools = [], tokens } = answer;
  const size = tools.reduce((sum, hit) => sum + (hit.tokens ?? 0), 0);
  return (
    <div class="told-answer">
      <p>
        <strong>
          {tools.length} {tools.length === 1 ? "tool" : "tools"}
        </strong>
        {" · "}
        <span class={`badge ${answer.reason ? "warn" : ""}`} data-mode={answer.mode}>
          {answer.mode}
        </span>
        {" · "}
        <span>search {(answer.took_us / 1000).toFixed(2)} ms</span>
        {trip !== undefined && <span>, round trip {trip.toFixed(0)} ms</span>}
        {" · "}
        <span>generation {answer.generation}</span>
        {" · "}
        <span>
          {tokens
            ? `${tokens.returned.toLocaleString("en")} of ${tokens.budget.toLocaleString("en")} tokens, all tools have ${tokens.baseline.toLocaleString("en")}`
            : `${size.toLocaleString("en")} tokens`}
        </span>
      </p>
      {answer.reason && <p class="small">Because {answer.reason}.</p>}
    </div>
  );
}

function Nothing({ asked, clear }: { asked: Asked; clear: () => void }) {
  return (
    <Empty title="Nothing was found">
      {filters(asked) > 0 ? (
        <>
          <p>No tool passes the filters and fits.</p>
          <button type="button" onClick={clear}>
            Ask without filters
          </button>
        </>
      ) : (
        <p>
          No tool has any of these words. Try others, or look at <a href="/catalog">the catalog</a>.
        </p>
      )}
    </Empty>
  );
}

/** What the address asks, and what is typed on the way to the next address. */
function useAsked() {
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

/** The servers, as they were when this generation answered. */
function useServers(generation: number | undefined) {
  const { data, reload } = useData<{ servers: Server[] }>("/v1/servers");
  const known = useRef(generation);
  useEffect(() => {
    if (known.current !== undefined && generation !== undefined && generation !== known.current) reload();
    known.current = generation ?? known.current;
  }, [generation]);
  const list = data?.servers ?? [];
  const byId = useMemo(() => new Map(list.map((server) => [server.id, server])), [data]);
  return { list, byId };
}

// The queries themselves: those without a result, which tell an operator what is missing, and the
// last ones.
import { useMemo, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { withParams } from "../../api";
import { count } from "../../parts/count";
import { Heads } from "../../parts/heads";
import { clock } from "../../parts/time";
import { VirtualList } from "../../parts/virtual";
import { type Activity, type Missed, type Recent, compact, duration } from "./data";

const FIRST = 10;
const HEIGHT = 52;

const POLICY = {
  full: <>Texts are shown as they were asked.</>,
  redact: <>What looks like a person's or a secret is taken out of the texts.</>,
  hash: (
    <>
      Texts are kept as hashes alone: the same text has the same. Set <code>queries = "redact"</code> in <code>[audit]</code> and restart to read them.
    </>
  ),
  none: (
    <>
      Texts of queries are not kept. Set <code>queries = "redact"</code> in <code>[audit]</code> and restart to see here what is asked.
    </>
  ),
};

/** Where a query is asked again, if its text is known. */
function place(data: Activity, query: string | undefined): string | undefined {
  return query && (data.queries === "full" || data.queries === "redact") ? withParams("/", { q: query }) : undefined;
}

function Text({ data, query }: { data: Activity; query: string }) {
  const href = place(data, query);
  return href ? <a href={href}>{query}</a> : <code>{query}</code>;
}

export function MissedList({ data }: { data: Activity }) {
  const [isAll, setIsAll] = useState(false);
  const shown = isAll ? data.missed : data.missed.slice(0, FIRST);
  return (
    <section class="card missed" aria-label="Queries without a result">
      <h2>Queries without a result</h2>
      {data.queries === "none" ? (
        <p class="small">{POLICY.none}</p>
      ) : data.missed.length === 0 ? (
        <p class="small">None since the start: every query found a tool that is likely to fit.</p>
      ) : (
        <>
          <p class="small">Since the start, most often asked first. A tool may be missing, or its description lacks these words.</p>
          <table>
            <Heads columns={["Query", ["Asked", "number"], "Found", ["Last", "last"]]} />
            <tbody>
              {shown.map((one: Missed) => (
                <tr key={`${one.query}\n${one.filter ?? ""}`}>
                  <td class="text">
                    <Text data={data} query={one.query} />
                    {one.filter && <span class="small"> only {one.filter}</span>}
                  </td>
                  <td class="number">{compact(one.searches)} ×</td>
                  <td class="found">{one.empty === one.searches ? "no tool" : one.empty === 0 ? "none likely" : "no tool, or none likely"}</td>
                  <td class="last">{clock(1000 * one.last_s, 60)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {data.missed.length > FIRST && (
            <button type="button" class="quiet" onClick={() => setIsAll(!isAll)}>
              {isAll ? "Show fewer" : `Show all ${data.missed.length}`}
            </button>
          )}
        </>
      )}
    </section>
  );
}

const FILTERS = ["All", "Without a result", "Slow", "Degraded", "Refused"] as const;
type Filter = (typeof FILTERS)[number];

export function RecentList({ data }: { data: Activity }) {
  const { route } = useLocation();
  const [filter, setFilter] = useState<Filter>("All");
  const [chosen, setChosen] = useState<number>();
  const slow = data.latency.p90_us ?? Number.POSITIVE_INFINITY;
  const items = useMemo(() => {
    const kept: Record<Filter, (one: Recent) => boolean> = {
      All: () => true,
      "Without a result": (one) => !one.refused && (one.hits === 0 || one.no_good_match === true),
      Slow: (one) => (one.took_us ?? 0) > slow,
      Degraded: (one) => one.reason !== undefined,
      Refused: (one) => one.refused === true,
    };
    return data.recent.filter(kept[filter]);
  }, [data.recent, filter, slow]);
  // What is chosen stays chosen while others come in above it.
  const at = chosen === undefined ? -1 : items.findIndex((one) => one.number === chosen);
  const one = items[at];
  const open = (index: number) => {
    const href = place(data, items[index]?.query);
    if (href) route(href);
  };
  return (
    <section class="card recent" aria-label="Recent queries">
      <h2>Recent queries</h2>
      <p class="small">
        The last {data.recent.length}, newest first. {POLICY[data.queries]}
      </p>
      <div class="row" role="group" aria-label="Which queries">
        {FILTERS.map((name) => (
          <button key={name} type="button" aria-pressed={filter === name} onClick={() => setFilter(name)}>
            {name === "Slow" && data.latency.p90_us !== undefined ? `Slow (over ${duration(slow)})` : name}
          </button>
        ))}
      </div>
      {items.length === 0 ? (
        <p class="state">No such query lately.</p>
      ) : (
        <VirtualList
          items={items}
          height={HEIGHT}
          label="Recent queries; Enter searches for one again"
          idOf={(one) => `asked-${one.number}`}
          chosen={at < 0 ? undefined : at}
          choose={(index) => setChosen(items[index]?.number)}
          open={open}
          row={(one) => <Row one={one} />}
        />
      )}
      {one && <Details data={data} one={one} />}
    </section>
  );
}

function Row({ one }: { one: Recent }) {
  return (
    <>
      <div class="grow asked">
        <span class="text">{one.query ?? <i>not kept</i>}</span>
        <span class="small">
          {clock(one.at_ms, 1)} · {one.refused ? "refused" : `${one.mode}${one.cached ? ", from cache" : ""}`} · {one.caller}
          {one.profile ? ` · ${one.profile}` : ""} · {one.way}
        </span>
      </div>
      {one.reason && <span class="badge warn">degraded</span>}
      {one.refused ? (
        <span class="badge bad">refused</span>
      ) : one.hits === 0 ? (
        <span class="badge bad">no tool</span>
      ) : one.no_good_match ? (
        <span class="badge warn">none likely</span>
      ) : (
        <span class="number hits">
          {count(one.hits ?? 0, "tool")}
        </span>
      )}
      <span class="number took">{duration(one.took_us)}</span>
    </>
  );
}

function Details({ data, one }: { data: Activity; one: Recent }) {
  const href = place(data, one.query);
  return (
    <div class="details" role="status">
      <p class="text">{one.query ?? "The text of this query is not kept."}</p>
      {one.best && one.best.length > 0 && (
        <p class="small text">
          First: {one.best.map((id) => <code key={id}>{id} </code>)}
        </p>
      )}
      {one.reason && <p class="small">Not as configured: {one.reason}</p>}
      {one.refused && <p class="small">It asked what can't be asked, or nothing was crawled yet.</p>}
      {href && (
        <p>
          <a href={href}>Search for it again</a>
        </p>
      )}
    </div>
  );
}

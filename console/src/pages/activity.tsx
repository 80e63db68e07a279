// What was asked, how long that took, what was not found, and what it saved.
import { useState } from "preact/hooks";
import { count } from "../parts/count";
import { Empty, Refusal, Waiting } from "../parts/state";
import { clock, date } from "../parts/time";
import "./activity.css";
import { Chart } from "./activity/chart";
import { type Activity as Data, type Range, compact, duration, exact, rate, share, sum, useActivity, wholeRange } from "./activity/data";
import { Histogram } from "./activity/histogram";
import { MissedList, RecentList } from "./activity/queries";

const RANGES: { range: Range; name: string }[] = [
  { range: "10m", name: "10 minutes" },
  { range: "6h", name: "6 hours" },
  { range: "14d", name: "14 days" },
];

export function Activity() {
  const [range, setRange] = useState<Range>("10m");
  const { data, error, again } = useActivity(range);
  return (
    <div class="activity">
      <header class="row">
        <h1 class="grow">Activity</h1>
        <div class="row" role="group" aria-label="How far back">
          {RANGES.map(({ range: one, name }) => (
            <button key={one} type="button" aria-pressed={range === one} onClick={() => setRange(one)}>
              {name}
            </button>
          ))}
        </div>
      </header>
      {error && (data && error.status === 0 ? <p class="small">Not up to date: {error.message}</p> : <Refusal page="Activity" error={error} again={again} />)}
      {!data && !error && <Waiting what="Counting" />}
      {data && (data.total.searches + data.total.refused === 0 ? <NoneYet /> : <Counted data={data} range={RANGES.find((one) => one.range === range)?.name ?? ""} />)}
    </div>
  );
}

function NoneYet() {
  return (
    <Empty title="No searches yet">
      <p>
        <a href="/">Search here</a>, or from a shell:
      </p>
      <pre>curl '{location.origin}/v1/search?q=send+a+mail'</pre>
      <p>What is asked shows up within two seconds.</p>
    </Empty>
  );
}

function Counted({ data, range }: { data: Data; range: string }) {
  const whole = wholeRange(data);
  const times = whole.map(({ at }) => at);
  const width = data.slot_s;
  const timeOf = (time: number) => clock(1000 * time, width);
  // The last slot is not over yet.
  const spanOf = (at: number) => Math.max(1, Math.min(width, data.now_s - at + 1));
  const rates = (of: (slot: Data["slots"][number]) => number) => whole.map(({ at, slot }) => (slot ? of(slot) / spanOf(at) : 0));
  const took = (of: (slot: Data["slots"][number]) => number | undefined) => whole.map(({ slot }) => (slot && of(slot)) ?? null);
  let saved = 0;
  const grows = whole.map(({ slot }) => (saved += slot?.saved_tokens ?? 0));
  return (
    <>
      <Tiles data={data} range={range} />
      <div class="figures">
        <Histogram data={data} />
        <Chart
          title="Searches a second"
          kind="bars"
          {...{ times, timeOf }}
          valueOf={(value) => `${rate(value)}/s`}
          series={[
            { name: "hybrid", values: rates((slot) => Math.max(0, slot.hybrid - slot.cached)) },
            { name: "from cache", values: rates((slot) => slot.cached) },
            { name: "by words alone", values: rates((slot) => slot.lexical) },
            { name: "by vectors alone", values: rates((slot) => slot.dense) },
          ]}
        />
        <Chart
          title="Time of a search"
          kind="lines"
          {...{ times, timeOf }}
          valueOf={duration}
          series={[
            { name: "p50", values: took((slot) => slot.p50_us) },
            { name: "p90", values: took((slot) => slot.p90_us) },
            { name: "p99", values: took((slot) => slot.p99_us) },
          ]}
        />
        <Chart title="Tokens saved" kind="lines" {...{ times, timeOf }} valueOf={compact} series={[{ name: `tokens, added up over ${range}`, values: grows }]} />
      </div>
      <details class="assumption">
        <summary>How saved tokens are reckoned</summary>
        <p class="small">
          {data.savings.assumption}. All definitions of this catalog have about {exact(data.savings.catalog_tokens)} tokens now. A host that sends them at each turn would save more; one that
          sends them once for a long conversation, or caches them, less.
        </p>
      </details>
      {data.reasons.length > 0 && (
        <section class="card" aria-label="Why answers were degraded">
          <h2>Why answers were degraded</h2>
          <ul>
            {data.reasons.map(({ reason, searches }) => (
              <li key={reason}>
                {reason}: {count(searches, "search", "searches")} since the start
              </li>
            ))}
          </ul>
        </section>
      )}
      <div class="figures">
        <MissedList data={data} />
        <RecentList data={data} />
      </div>
    </>
  );
}

function Tiles({ data, range }: { data: Data; range: string }) {
  const { slots, latency, today, total } = data;
  const of = (part: (slot: Data["slots"][number]) => number) => sum(slots, part);
  const searches = of((slot) => slot.searches);
  const missed = of((slot) => slot.empty + slot.no_good_match);
  const [calls, failed] = [of((slot) => slot.calls), of((slot) => slot.failed_calls)];
  const [refused, away] = [of((slot) => slot.refused), of((slot) => slot.turned_away)];
  const since = date(1000 * data.since_s);
  const tiles = [
    { name: "Searches a second", value: `${rate(data.per_second)}/s`, more: `over 30 s; ${compact(searches)} in ${range}` },
    { name: "Median time of a search", value: duration(latency.p50_us), more: `90 %: ${duration(latency.p90_us)} or less` },
    { name: "99th percentile", value: duration(latency.p99_us), more: `the longest ${duration(latency.max_us)}` },
    { name: "Without a result", value: share(missed, searches), more: `${compact(of((slot) => slot.empty))} no tool, ${compact(of((slot) => slot.no_good_match))} none likely` },
    { name: "Tokens saved today", value: compact(today.saved_tokens), more: `${compact(total.saved_tokens)} since ${since}` },
    { name: "Degraded", value: share(of((slot) => slot.degraded), searches), more: `${compact(of((slot) => slot.degraded))} of ${compact(searches)} searches` },
    { name: "Calls of tools", value: compact(calls), more: `${compact(failed)} failed, in ${range}` },
    { name: "Refused", value: compact(refused + away), more: `${compact(refused)} searches, ${compact(away)} at the door` },
  ];
  return (
    <dl class="tiles">
      {tiles.map(({ name, value, more }) => (
        <div key={name} class="card">
          <dt>{name}</dt>
          <dd>
            <b data-tile={name}>{value}</b>
            <span class="small">{more}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

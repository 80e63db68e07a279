// What came of one evaluation.
import { useState } from "preact/hooks";
import { useData } from "../../api";
import { count } from "../../parts/count";
import { Heads, Unseen } from "../../parts/heads";
import { Failure, Waiting } from "../../parts/state";
import { day } from "../../parts/time";
import { Bar, Whisker } from "./charts";
import { Failures } from "./failures";
import { Head, MetricChoice, MetricName } from "./head";
import { type Head as Scoring, METRICS, type Metric, type Shown, share, took } from "./types";

export function Result({ id }: { id: string }) {
  const { data, error, reload } = useData<Shown>(`/v1/admin/evals/${encodeURIComponent(id)}`);
  if (error) return <Failure error={error} again={reload} />;
  if (!data?.head || data.id !== id) return <Waiting what="Reading the result" />;
  const { head } = data;
  return (
    <section class="q-result" aria-label={`Result of ${head.name}`}>
      <Head title={head.name}>
        <button type="button" onClick={() => download(data)}>
          Download as JSON
        </button>
      </Head>
      <Provenance head={head} />
      {head.queries === 0 ? <p>None of the queries is labelled with a tool, so there is nothing to score.</p> : <Scored shown={data} head={head} />}
    </section>
  );
}

function Scored({ shown, head }: { shown: Shown; head: Scoring }) {
  return (
    <>
      <div class="q-two">
        <div class="card">
          <h3>Scores, with 95% intervals</h3>
          <Scores head={head} />
        </div>
        <div class="card">
          <Categories shown={shown} />
        </div>
      </div>
      <div class="card">
        <h3>What an agent gets</h3>
        <dl class="q-served">
          <Fact name="Answers with every tool needed" value={share(head.as_served.complete)} of="of 1" />
          <Fact name="Tools in an answer" value={head.as_served.returned.toFixed(1)} of="on average" />
          <Fact name="Answers that say nothing fits well" value={share(head.as_served.no_good_match)} of="of 1; something does" />
          {head.as_served.no_good_match_of_none !== undefined && (
            <Fact name="The same where nothing fits" value={share(head.as_served.no_good_match_of_none)} of="of 1" />
          )}
        </dl>
      </div>
      <div class="card">
        <h3>Failed queries</h3>
        <Failures failures={shown.failures} head={head} />
      </div>
    </>
  );
}

function Provenance({ head }: { head: Scoring }) {
  const by = { hybrid: "words and vectors", lexical: "words alone", dense: "vectors alone" }[head.mode] ?? head.mode;
  return (
    <p class="small q-facts">
      <span>{day(head.at)}</span>
      <span>{took(head.took_ms)}</span>
      <span>
        {count(head.queries, "query", "queries")} scored{head.unscored > 0 && `, ${head.unscored} without a label`}
      </span>
      <span>
        {count(head.tools, "tool")}, generation {head.generation}
      </span>
      <span>{by}</span>
      {head.encoder && <span>encoder {head.encoder}</span>}
      {head.reranker && <span>reranker {head.reranker}</span>}
      {head.limit !== null && <span>limit {count(head.limit, "tool")}</span>}
      {head.learned && <span>with what was learned from use</span>}
      <span>
        configuration <code>{head.configuration}</code>
      </span>
      {head.reason && <span class="badge warn">{head.reason}</span>}
    </p>
  );
}

function Scores({ head }: { head: Scoring }) {
  return (
    <table class="q-scores">
      <Heads columns={["Metric", ["Mean", "number"], [<Unseen>Drawn, from 0 to 1</Unseen>, "q-drawn"], ["95%", "number"]]} />
      <tbody>
        {METRICS.map((metric) => {
          const { name } = metric;
          const interval = head.all.intervals[name];
          return (
            <tr key={name} data-metric={name}>
              <MetricName {...metric} />
              <td class="number">{share(head.all.metrics[name])}</td>
              <td class="q-drawn">
                <Whisker value={head.all.metrics[name]} interval={interval} />
              </td>
              <td class="number small">
                {share(interval.low)}–{share(interval.high)}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function Categories({ shown }: { shown: Shown }) {
  const [metric, setMetric] = useState<Metric>("R@5");
  const categories = Object.entries(shown.categories);
  if (categories.length === 0) {
    return (
      <>
        <h3>By category</h3>
        <p class="small">
          The queries have no category. Give each a <code>category</code> to see which kind the search is good at.
        </p>
      </>
    );
  }
  return (
    <>
      <Head title="By category" level="h3">
        <MetricChoice metric={metric} choose={setMetric} />
      </Head>
      <table class="q-scores">
        <Heads columns={["Category", ["Queries", "number"], [<Unseen>Drawn, from 0 to 1</Unseen>, "q-drawn"], [metric, "number"]]} />
        <tbody>
          {categories.map(([name, group]) => {
            const { low, high } = group.intervals[metric];
            return (
              <tr key={name} data-category={name}>
                <th scope="row">{name}</th>
                <td class="number">{group.n}</td>
                <td class="q-drawn">
                  <Bar value={group.metrics[metric]} interval={group.intervals[metric]} />
                </td>
                <td class="number">
                  {share(group.metrics[metric])}{" "}
                  <span class="small q-late">
                    {low.toFixed(2)}–{high.toFixed(2)}
                  </span>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </>
  );
}

function Fact({ name, value, of }: { name: string; value: string; of: string }) {
  return (
    <div>
      <dt class="small">{name}</dt>
      <dd>
        <strong>{value}</strong> <span class="small">{of}</span>
      </dd>
    </div>
  );
}

function download(shown: Shown) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(shown, null, 2)], { type: "application/json" }));
  link.download = `toolscout-eval-${shown.id}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}

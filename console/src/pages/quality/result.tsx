// What came of one evaluation.
import { useState } from "preact/hooks";
import { useData } from "../../api";
import { Failure, Waiting } from "../../parts/state";
import { Bar, Whisker } from "./charts";
import { Failures } from "./failures";
import { count, type Head, METRICS, type Metric, type Shown, share, took, when } from "./types";

export function Result({ id }: { id: string }) {
  const { data, error, reload } = useData<Shown>(`/v1/admin/evals/${encodeURIComponent(id)}`);
  if (error) return <Failure error={error} again={reload} />;
  if (!data?.head || data.id !== id) return <Waiting what="Reading the result" />;
  const { head } = data;
  return (
    <section class="q-result" aria-label={`Result of ${head.name}`}>
      <div class="row q-line-head">
        <h2 class="grow q-name">{head.name}</h2>
        <button type="button" onClick={() => download(data)}>
          Download as JSON
        </button>
      </div>
      <Provenance head={head} />
      {head.queries === 0 ? <p>None of the queries is labelled with a tool, so there is nothing to score.</p> : <Scored shown={data} head={head} />}
    </section>
  );
}

function Scored({ shown, head }: { shown: Shown; head: Head }) {
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

function Provenance({ head }: { head: Head }) {
  const by = { hybrid: "words and vectors", lexical: "words alone", dense: "vectors alone" }[head.mode] ?? head.mode;
  return (
    <p class="small q-facts">
      <span>{when(head.at)}</span>
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

function Scores({ head }: { head: Head }) {
  return (
    <table class="q-scores">
      <thead>
        <tr>
          <th scope="col">Metric</th>
          <th scope="col" class="number">
            Mean
          </th>
          <th scope="col" class="q-drawn">
            <span class="visually-hidden">Drawn, from 0 to 1</span>
          </th>
          <th scope="col" class="number">
            95%
          </th>
        </tr>
      </thead>
      <tbody>
        {METRICS.map(({ name, title, means }) => {
          const interval = head.all.intervals[name];
          return (
            <tr key={name} data-metric={name}>
              <th scope="row" title={means}>
                {title} <span class="small">{name}</span>
              </th>
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
      <div class="row q-line-head">
        <h3 class="grow">By category</h3>
        <MetricChoice metric={metric} choose={setMetric} />
      </div>
      <table class="q-scores">
        <thead>
          <tr>
            <th scope="col">Category</th>
            <th scope="col" class="number">
              Queries
            </th>
            <th scope="col" class="q-drawn">
              <span class="visually-hidden">Drawn, from 0 to 1</span>
            </th>
            <th scope="col" class="number">
              {metric}
            </th>
          </tr>
        </thead>
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

export function MetricChoice({ metric, choose }: { metric: Metric; choose: (metric: Metric) => void }) {
  return (
    <label class="row small">
      Metric
      <select value={metric} onChange={(event) => choose(event.currentTarget.value as Metric)}>
        {METRICS.map(({ name, title }) => (
          <option key={name} value={name}>
            {title} ({name})
          </option>
        ))}
      </select>
    </label>
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

// Two evaluations side by side: each difference, how sure it is, and what that means in words.
import { useData, withParams } from "../../api";
import { count } from "../../parts/count";
import { Cross } from "../../parts/cross";
import { Heads, Unseen } from "../../parts/heads";
import { Failure, Waiting } from "../../parts/state";
import { day } from "../../parts/time";
import { Change } from "./charts";
import { Head, MetricName } from "./head";
import { type Compared, METRICS, share, signed, type Verdict } from "./types";

const VERDICTS: Record<Verdict, { word: string; kind: string }> = {
  better: { word: "better", kind: "good" },
  worse: { word: "worse", kind: "bad" },
  unclear: { word: "may be chance", kind: "" },
  same: { word: "no change", kind: "" },
};
const MOST_MOVED = 20;

export function Comparison({ run, baseline, close }: { run: string; baseline: string; close: () => void }) {
  const { data, error } = useData<Compared>(withParams(`/v1/admin/evals/${encodeURIComponent(run)}/compare`, { baseline }));
  if (error) return <Failure error={error} />;
  if (!data) return <Waiting what="Comparing" />;
  const most = Math.max(0.02, ...data.metrics.flatMap(({ interval }) => [Math.abs(interval.low), Math.abs(interval.high)]));
  return (
    <section class="card" aria-label="Comparison">
      <Head title={`Compared with ${data.baseline.name}, ${day(data.baseline.at)}`}>
        <Cross label="Close the comparison" press={close} />
      </Head>
      <p role="status">{inWords(data)}</p>
      <p class="small">{ofWhat(data)}</p>
      {data.queries > 0 && <Differences data={data} most={most} />}
      {data.moved.length > 0 && (
        <details>
          <summary>Queries whose R@5 changed most</summary>
          <ul class="q-moved">
            {data.moved.slice(0, MOST_MOVED).map(({ id, query, before, after }) => (
              <li key={id}>
                <span class="number">
                  {before.toFixed(2)} → {after.toFixed(2)}
                </span>
                <a href={withParams("/", { q: query })}>{query}</a>
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

function Differences({ data, most }: { data: Compared; most: number }) {
  const of = new Map(data.metrics.map((one) => [one.metric, one]));
  return (
    <table class="q-scores q-differences">
      <Heads columns={["Metric", ["Difference", "number"], [<Unseen>Drawn around zero</Unseen>, "q-drawn"], ["95%", "number q-late"], "Verdict"]} />
      <tbody>
        {METRICS.map((metric) => {
          const { name } = metric;
          const one = of.get(name);
          if (!one) return null;
          const { word, kind } = VERDICTS[one.verdict];
          return (
            <tr key={name} data-metric={name}>
              <MetricName {...metric} />
              <td class="number">{signed(one.difference)}</td>
              <td class="q-drawn">
                <Change value={one.difference} interval={one.interval} most={most} />
              </td>
              <td class="number small q-late">
                {signed(one.interval.low)} to {signed(one.interval.high)}
              </td>
              <td>
                <span class={`badge ${kind}`}>{word}</span>
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function inWords(data: Compared): string {
  const one = data.metrics.find(({ metric }) => metric === "R@5");
  if (!one || data.queries === 0) return "The two have no query in common: nothing can be compared.";
  const moved = `${count(one.moved, "query", "queries")} of ${data.queries} moved`;
  if (one.verdict === "same") return `Recall in 5 is the same for each of ${count(data.queries, "query", "queries")}.`;
  const by = `by ${share(Math.abs(one.difference))}`;
  const sure = one.verdict === "unclear" ? "that may be chance" : "that is hardly chance";
  const what = one.difference === 0 ? "Recall in 5 is the same on average" : `Recall in 5 is ${one.difference > 0 ? "higher" : "lower"} ${by}`;
  return `${what}: ${sure} (${moved}).`;
}

function ofWhat({ baseline, run, only_baseline, only_run }: Compared): string {
  const said = [
    run.file === baseline.file ? "The same queries" : `Other queries (${only_run} are only in this one, ${only_baseline} only in the other)`,
    run.catalog === baseline.catalog ? "the same tools" : `other tools (generation ${baseline.generation} then, ${run.generation} now)`,
    run.configuration === baseline.configuration ? "the same configuration" : "another configuration",
  ];
  return `${said.join(", ")}.`;
}

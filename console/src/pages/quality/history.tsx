// The evaluations of before: how a score went, and one beside another.
import { useState } from "preact/hooks";
import { withParams } from "../../api";
import { Trend } from "./charts";
import { MetricChoice } from "./result";
import { count, type Eval, type Head, type Metric, share, when } from "./types";

interface Props {
  evals: Eval[];
  shown: string | undefined;
  baseline: string | undefined;
  compare: (baseline: string) => void;
  remove: (id: string) => void;
}

export function History({ evals, shown, baseline, compare, remove }: Props) {
  const [metric, setMetric] = useState<Metric>("R@5");
  const heads = evals.flatMap((one) => one.head ?? []);
  const here = heads.find((head) => head.id === shown);
  // A score of other queries is another score.
  const alike = heads.filter((head) => head.file === here?.file).reverse();
  return (
    <section class="card" aria-label="History">
      <div class="row q-line-head">
        <h2 class="grow">History</h2>
        <MetricChoice metric={metric} choose={setMetric} />
      </div>
      {here && alike.length > 1 && (
        <figure class="q-figure">
          <Trend heads={alike} metric={metric} shown={here.id} />
          <figcaption class="small">
            {metric} of the {alike.length} evaluations with these queries, oldest first: {share(alike[0]?.all.metrics[metric] ?? 0)} to{" "}
            {share(alike.at(-1)?.all.metrics[metric] ?? 0)}
          </figcaption>
        </figure>
      )}
      <div class="q-scroll" tabIndex={0} role="region" aria-label="Evaluations of before">
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Begun</th>
              <th scope="col" class="number">
                {metric}
              </th>
              <th scope="col" class="number">
                Failed
              </th>
              <th scope="col" class="number">
                Tools
              </th>
              <th scope="col">
                <span class="visually-hidden">What can be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {heads.map((head) => (
              <tr key={head.id} data-run={head.id} class={head.id === shown ? "q-here" : ""}>
                <td>
                  <a href={withParams("/quality", { run: head.id })} aria-current={head.id === shown ? "true" : undefined}>
                    {head.name}
                  </a>{" "}
                  <span class="small">{ofWhat(head, here)}</span>
                </td>
                <td>{when(head.at)}</td>
                <td class="number">{share(head.all.metrics[metric])}</td>
                <td class="number">
                  {head.failed} <span class="small">of {head.queries}</span>
                </td>
                <td class="number">{head.tools}</td>
                <td class="q-actions">
                  {here && head.id !== shown && (
                    <button type="button" class="quiet" aria-pressed={head.id === baseline} aria-label={`Compare with ${head.name} of ${when(head.at)}`} onClick={() => compare(head.id)}>
                      Compare
                    </button>
                  )}
                  <button type="button" class="quiet" aria-label={`Forget ${head.name} of ${when(head.at)}`} onClick={() => remove(head.id)}>
                    ✕
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="small">{count(heads.length, "evaluation")}; the last 50 are kept.</p>
    </section>
  );
}

/** In which way it is not of the same as the one that is shown. */
function ofWhat(head: Head, here: Head | undefined): string {
  if (!here || head.id === here.id) return "";
  const other = [head.file !== here.file && "other queries", head.catalog !== here.catalog && "other tools", head.configuration !== here.configuration && "other configuration"];
  return other.filter(Boolean).join(", ");
}

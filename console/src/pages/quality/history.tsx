// The evaluations of before: how a score went, and one beside another.
import { useState } from "preact/hooks";
import { withParams } from "../../api";
import { count } from "../../parts/count";
import { Cross } from "../../parts/cross";
import { Heads, Unseen } from "../../parts/heads";
import { day } from "../../parts/time";
import { Trend } from "./charts";
import { Head, MetricChoice } from "./head";
import { type Eval, type Head as Scoring, type Metric, share } from "./types";

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
      <Head title="History">
        <MetricChoice metric={metric} choose={setMetric} />
      </Head>
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
          <Heads columns={["Name", "Begun", [metric, "number"], ["Failed", "number"], ["Tools", "number"], [<Unseen>What can be done</Unseen>, ""]]} />
          <tbody>
            {heads.map((head) => (
              <tr key={head.id} data-run={head.id} class={head.id === shown ? "q-here" : ""}>
                <td>
                  <a href={withParams("/quality", { run: head.id })} aria-current={head.id === shown ? "true" : undefined}>
                    {head.name}
                  </a>{" "}
                  <span class="small">{ofWhat(head, here)}</span>
                </td>
                <td>{day(head.at)}</td>
                <td class="number">{share(head.all.metrics[metric])}</td>
                <td class="number">
                  {head.failed} <span class="small">of {head.queries}</span>
                </td>
                <td class="number">{head.tools}</td>
                <td class="q-actions">
                  {here && head.id !== shown && (
                    <button type="button" class="quiet" aria-pressed={head.id === baseline} aria-label={`Compare with ${head.name} of ${day(head.at)}`} onClick={() => compare(head.id)}>
                      Compare
                    </button>
                  )}
                  <Cross label={`Forget ${head.name} of ${day(head.at)}`} press={() => remove(head.id)} />
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
function ofWhat(head: Scoring, here: Scoring | undefined): string {
  if (!here || head.id === here.id) return "";
  const other = [head.file !== here.file && "other queries", head.catalog !== here.catalog && "other tools", head.configuration !== here.configuration && "other configuration"];
  return other.filter(Boolean).join(", ");
}

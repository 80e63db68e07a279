// How good the search is on labelled queries: evaluations in the background, and the history of them.
import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { type ApiError, asApiError, send, useData, withParams } from "../api";
import { Failure, Refusal, Waiting } from "../parts/state";
import "./quality.css";
import { Begin, Format } from "./quality/begin";
import { Comparison } from "./quality/compare";
import { History } from "./quality/history";
import { Result } from "./quality/result";
import type { Eval } from "./quality/types";

/** How often one that is at work is looked at, in milliseconds. */
const EVERY = 500;

export function Quality() {
  const { query, route } = useLocation();
  const { data, error, reload } = useData<{ evals: Eval[] }>("/v1/admin/evals");
  const [awaited, setAwaited] = useState<string>();
  const [wrong, setWrong] = useState<ApiError>();
  const evals = data?.evals ?? [];
  const open = evals.filter(({ state }) => state === "waiting" || state === "running");
  useEffect(() => {
    if (open.length === 0 && !error) return;
    const timer = setTimeout(reload, error ? 10 * EVERY : EVERY);
    return () => clearTimeout(timer);
  }, [data, error, reload, open.length]);
  // What was begun here is shown as soon as it is done.
  const isDone = evals.some(({ id, state }) => id === awaited && state === "done");
  useEffect(() => {
    if (!isDone) return;
    setAwaited(undefined);
    route(withParams("/quality", { run: awaited }));
  }, [isDone, awaited, route]);

  if (error && !data) {
    return (
      <div class="quality">
        <h1>Quality</h1>
        <Refusal page="Quality" error={error} again={reload} />
      </div>
    );
  }
  if (!data) return <Waiting what="Reading the evaluations" />;
  const done = evals.filter(({ head }) => head);
  const shown = done.find(({ id }) => id === query.run)?.id ?? done[0]?.id;
  const baseline = done.find(({ id }) => id === query.with && id !== shown)?.id;
  const remove = async (id: string) => {
    setWrong(undefined);
    await send("DELETE", `/v1/admin/evals/${id}`).catch((error: unknown) => setWrong(asApiError(error)));
    if (id === query.run || id === query.with) route("/quality");
    reload();
  };
  return (
    <div class="quality">
      <h1>Quality</h1>
      <Begin
        begun={({ id }) => {
          setAwaited(id);
          reload();
        }}
      />
      {wrong && <Failure error={wrong} />}
      {error && <Failure error={error} again={reload} />}
      <div class="q-live" aria-live="polite">
        {evals
          .filter(({ head }) => !head)
          .map((one) => (
            <Open key={one.id} one={one} remove={remove} />
          ))}
      </div>
      {shown ? (
        <>
          <Result id={shown} />
          {baseline && <Comparison run={shown} baseline={baseline} close={() => route(withParams("/quality", { run: shown }))} />}
          <History
            evals={evals}
            shown={shown}
            baseline={baseline}
            compare={(id) => route(withParams("/quality", { run: shown, with: id === baseline ? null : id }))}
            remove={remove}
          />
        </>
      ) : (
        <Format />
      )}
    </div>
  );
}

/** One that has no result: how far it is, or why it has none. */
function Open({ one, remove }: { one: Eval; remove: (id: string) => void }) {
  const said = {
    waiting: "waits for the one before it",
    running: one.done === one.total ? "is being scored" : `${one.done} of ${one.total} queries`,
    failed: `failed: ${one.error}`,
    done: "",
  }[one.state];
  return (
    <div class="card row q-open" data-eval={one.id}>
      <div class="grow">
        <strong class="q-cut">{one.name}</strong>
        <div class={one.state === "failed" ? "q-error" : "small"}>{said}</div>
      </div>
      {one.state !== "failed" && <progress class="grow" value={one.done} max={one.total} aria-label={`Queries of ${one.name} that were asked`} />}
      <button type="button" onClick={() => remove(one.id)}>
        {one.state === "failed" ? "Forget" : "Cancel"}
      </button>
    </div>
  );
}

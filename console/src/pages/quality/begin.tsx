// What begins an evaluation: a query file from this machine, dropped or chosen, or one that is offered.
import { useId, useState } from "preact/hooks";
import { type ApiError, asApiError, send, useData } from "../../api";
import { type Eval, type QueryFile, size } from "./types";

const EXAMPLE = '{"id": "1", "query": "refund a card payment", "relevant": ["payments/refund_payment"], "category": "direct"}';
/** As much as the server takes. */
const MOST = 8 << 20;

export function Begin({ begun }: { begun: (made: Eval) => void }) {
  const id = useId();
  const offered = useData<{ files: QueryFile[] }>("/v1/admin/evals/files").data?.files ?? [];
  const [file, setFile] = useState<File>();
  const [kept, setKept] = useState("");
  const [arms, setArms] = useState("hybrid");
  const [limit, setLimit] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  const [isOver, setIsOver] = useState(false);
  const [error, setError] = useState<ApiError>();
  const isMissing = !file && !kept;
  const choose = (file: File | undefined) => {
    setError(undefined);
    setFile(file);
    if (file) setKept("");
  };
  const begin = async () => {
    setIsBusy(true);
    setError(undefined);
    try {
      const source = file ? { queries: await text(file), name: file.name } : { file: kept };
      begun(await send<Eval>("POST", "/v1/admin/evals", { ...source, arms, limit: limit ? Number(limit) : null }));
    } catch (error) {
      setError(asApiError(error));
    }
    setIsBusy(false);
  };
  return (
    <form
      class={`card q-begin ${isOver ? "q-over" : ""}`}
      aria-labelledby={`${id}-title`}
      onSubmit={(event) => {
        event.preventDefault();
        begin();
      }}
      onDragOver={(event) => {
        event.preventDefault();
        setIsOver(true);
      }}
      onDragLeave={() => setIsOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setIsOver(false);
        choose(event.dataTransfer?.files[0]);
      }}
    >
      <h2 id={`${id}-title`}>Evaluate</h2>
      <div class="q-fields">
        <div class="q-field q-wide">
          <label for={`${id}-file`}>Query file: choose one, or drop it here</label>
          <input id={`${id}-file`} type="file" accept=".jsonl,.json,.ndjson,.txt,.gz" onChange={(event) => choose(event.currentTarget.files?.[0])} />
          {file && (
            <span class="small">
              {file.name}, {size(file.size)}
            </span>
          )}
        </div>
        {offered.length > 0 && (
          <div class="q-field">
            <label for={`${id}-kept`}>Or one that is kept here</label>
            <select
              id={`${id}-kept`}
              value={kept}
              onChange={(event) => {
                setKept(event.currentTarget.value);
                setFile(undefined);
                setError(undefined);
              }}
            >
              <option value="">None</option>
              {offered.map(({ name, bytes, demo }) => (
                <option key={name} value={name}>
                  {demo ? "Queries of the demo" : name} ({size(bytes)})
                </option>
              ))}
            </select>
          </div>
        )}
        <div class="q-field">
          <label for={`${id}-arms`}>Ranked by</label>
          <select id={`${id}-arms`} value={arms} onChange={(event) => setArms(event.currentTarget.value)}>
            <option value="hybrid">Words and vectors</option>
            <option value="lexical">Words alone</option>
            <option value="dense">Vectors alone</option>
          </select>
        </div>
        <div class="q-field q-narrow">
          <label for={`${id}-limit`}>Tools an answer</label>
          <input id={`${id}-limit`} type="number" min="1" max="50" placeholder="as served" value={limit} onInput={(event) => setLimit(event.currentTarget.value)} />
        </div>
        <button type="submit" disabled={isBusy || isMissing} aria-describedby={isMissing ? `${id}-missing` : undefined}>
          Evaluate
        </button>
      </div>
      {isMissing && (
        <p id={`${id}-missing`} class="small q-missing">
          There is nothing to evaluate yet: choose a query file{offered.length > 0 && ", or one that is kept here"}.
        </p>
      )}
      {error && (
        <p class="q-error" role="alert">
          {error.message}
        </p>
      )}
    </form>
  );
}

/** The file's text, unpacked where it is packed. */
async function text(file: File): Promise<string> {
  const isPacked = file.name.endsWith(".gz");
  const reader = (isPacked ? file.stream().pipeThrough(new DecompressionStream("gzip")) : file.stream()).getReader();
  const parts: BlobPart[] = [];
  let bytes = 0;
  for (let next = await reader.read(); next.value; next = await reader.read()) {
    bytes += next.value.length;
    if (bytes > MOST) {
      await reader.cancel();
      throw new Error(`${file.name} has more than ${size(MOST)}, which is the most that is taken: split it`);
    }
    parts.push(next.value);
  }
  return new Blob(parts).text();
}

/** What a query file is, for those who have none yet. */
export function Format() {
  return (
    <div class="card q-format">
      <h2>How good is the search on your tools?</h2>
      <p>Write down queries as your agents ask them, and for each the tools that a good answer holds. A query file has one JSON object a line:</p>
      <pre>{EXAMPLE}</pre>
      <p class="small">
        <code>id</code> and <code>query</code> must be there. <code>relevant</code> lists a tool id for each need; <code>alternatives</code> names other tools that would do, by
        tool id; <code>category</code> groups the scores. Thirty queries show large differences, a few hundred show small ones. <code>docs/quality.md</code> says more, and{" "}
        <code>toolscout eval</code> reads the same files.
      </p>
    </div>
  );
}

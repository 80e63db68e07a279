// The queries whose answer lacks a tool that they need; each leads to its explanation.
import { useMemo, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { withParams } from "../../api";
import { count } from "../../parts/count";
import { VirtualList } from "../../parts/virtual";
import { type Failed, type Head } from "./types";

export function Failures({ failures, head }: { failures: Failed[]; head: Head }) {
  const { route } = useLocation();
  const [category, setCategory] = useState("");
  const [chosen, setChosen] = useState<number>();
  const categories = useMemo(() => [...new Set(failures.flatMap(({ category }) => category ?? []))].sort(), [failures]);
  const shown = useMemo(() => failures.filter((one) => !category || one.category === category), [failures, category]);
  if (head.failed === 0) return <p>Every answer has every tool that its query needs.</p>;
  const open = (one: Failed) => route(withParams("/", { q: one.query, why: one.missed[0]?.tool }));
  return (
    <>
      <div class="row q-line-head">
        <p class="small grow">
          {count(head.failed, "answer")} of {head.queries} {head.failed === 1 ? "lacks" : "lack"} a tool that the query needs
          {failures.length < head.failed && `; the first ${failures.length} are here`}. Open one to see why.
        </p>
        {categories.length > 1 && (
          <label class="row small">
            Category
            <select
              value={category}
              onChange={(event) => {
                setCategory(event.currentTarget.value);
                setChosen(undefined);
              }}
            >
              <option value="">All</option>
              {categories.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
      <VirtualList
        items={shown}
        height={64}
        label="Queries whose answer lacks a tool"
        idOf={(one) => one.id}
        chosen={chosen}
        choose={setChosen}
        open={(at) => shown[at] && open(shown[at])}
        row={(one) => (
          <div class="q-failure" onClick={() => open(one)}>
            <div class="q-failure-query">
              <span class="q-cut">{one.query}</span>
              {one.category && <span class="badge">{one.category}</span>}
            </div>
            <div class="q-failure-tools small">
              <span class="q-cut">Wanted {one.missed.map(wanted).join("; ")}</span>
              <span class="q-cut">Got {one.got[0] ? `${one.got[0]}${one.got.length > 1 ? ` and ${one.got.length - 1} more` : ""}` : "nothing"}</span>
            </div>
          </div>
        )}
      />
    </>
  );
}

function wanted({ tool, rank, known }: Failed["missed"][number]): string {
  if (rank !== null) return `${tool} (rank ${rank})`;
  return `${tool} (${known ? "beyond rank 100" : "not in the catalog"})`;
}

// One tool: what it says, since when, what it said before, and who says nearly the same.
import { useEffect, useState } from "preact/hooks";
import { useData, withParams } from "../../api";
import { Diff, pretty } from "../../parts/diff";
import { DetailHead } from "../../parts/split";
import { Failure, Waiting } from "../../parts/state";
import { day, span } from "../../parts/time";
import { Fact } from "../servers/detail";
import { Findings, type Found } from "./findings";
import { Parameters } from "./parameters";
import type { Tool } from "./rows";

interface Known {
  id: string;
  server: string;
  name: string;
  definition: { title?: string; description?: string; inputSchema?: object; annotations?: Record<string, unknown> };
  history?: { first_seen: string; changed_at: string | null; hash: string; changes: number };
  findings?: Found[];
  held?: { hash: string; since: string; why: string };
  earlier?: Earlier[];
  near?: { id: string; share: number }[];
  lint?: { rule: string; level: "error" | "warning"; what: string }[];
}

interface Earlier {
  hash: string;
  until: string;
  definition: string;
}

/** While somebody runs through the list nothing is asked of each tool on the way. */
const RESTS = 120;

export function ToolDetail({ id, row, now, close }: { id: string; row: Tool | undefined; now: number; close: () => void }) {
  const [rests, setRests] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setRests(true), RESTS);
    return () => clearTimeout(timer);
  }, []);
  // Asked anew when its row is another: what changes is seen at once.
  const version = `${row?.changes}.${row?.changed}.${row?.held}`;
  const { data, error, reload } = useData<Known>(rests ? `/v1/tools/${encodeURIComponent(id)}?earlier=1&near=1&lint=1#${version}` : null);
  return (
    <article class="card" data-tool-id={id}>
      <DetailHead title={data?.definition.title ?? row?.title ?? row?.name ?? id} close={close} />
      <p>
        <code>{id}</code>
      </p>
      {error ? <Failure error={error} again={reload} /> : data ? <Body tool={data} row={row} now={now} /> : <Waiting what="Reading its definition" />}
    </article>
  );
}

function Body({ tool, row, now }: { tool: Known; row: Tool | undefined; now: number }) {
  const { definition, history, findings = [], earlier = [], near = [], lint = [] } = tool;
  const ago = (at: string) => <span title={day(at)}>{span(now - Date.parse(at))} ago</span>;
  return (
    <>
      <p class="tool-text">{definition.description || "It has no description."}</p>
      <dl class="facts">
        <Fact name="Server">
          <a href={withParams("/servers", { server: tool.server })}>{tool.server}</a>
        </Fact>
        {row && (
          <Fact name="Size">
            {row.tokens.toLocaleString("en")} tokens, {row.bytes.toLocaleString("en")} bytes
          </Fact>
        )}
        {history && <Fact name="First seen">{ago(history.first_seen)}</Fact>}
        {history && <Fact name="Changed">{history.changed_at ? <>{ago(history.changed_at)}, {history.changes === 1 ? "once" : `${history.changes} times`}</> : "never"}</Fact>}
        <Fact name="Effects">{effects(definition.annotations)}</Fact>
        <Fact name="Find it">
          <a href={withParams("/", { q: definition.title ?? tool.name })}>search for it</a>
        </Fact>
      </dl>
      {tool.held && (
        <p class="failure">
          A newer definition is held back ({tool.held.why}). <a href={withParams("/servers", { server: tool.server })}>Look at it and decide</a>.
        </p>
      )}
      {findings.length > 0 && (
        <section>
          <h3>Findings</h3>
          <Findings found={findings} />
        </section>
      )}
      {lint.length > 0 && (
        <section>
          <h3>Hard to find or to use</h3>
          <ul data-lint>
            {lint.map(({ rule, level, what }) => (
              <li key={rule}>
                <span class={`badge ${level === "error" ? "bad" : "warn"}`}>{level}</span> {what} <span class="small">({rule})</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      <section>
        <h3>Parameters</h3>
        <Parameters schema={definition.inputSchema} />
      </section>
      {history && history.changes > 0 && <Changes now={definition} earlier={earlier} />}
      {near.length > 0 && (
        <section>
          <h3>Nearly the same</h3>
          <ul data-near>
            {near.map(({ id, share }) => (
              <li key={id}>
                <a href={withParams("/catalog", { tool: id })}>{id}</a> <span class="small">{share === 1 ? "the same tool" : `${Math.round(100 * share)} % of its words`}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      <section>
        <h3>Definition</h3>
        <pre tabIndex={0}>{pretty(definition)}</pre>
      </section>
    </>
  );
}

function Changes({ now, earlier }: { now: unknown; earlier: Earlier[] }) {
  const [at, setAt] = useState(0);
  const before = earlier[at] ?? earlier[0];
  if (!before) {
    return (
      <section>
        <h3>Changes</h3>
        <p class="small">It changed, and what it said before is not kept any more.</p>
      </section>
    );
  }
  const after = at === 0 ? now : earlier[at - 1]?.definition;
  return (
    <section data-changes>
      <h3>Changes</h3>
      <label class="row small">
        What changed
        <select value={at} onChange={(event) => setAt(Number(event.currentTarget.value))}>
          {earlier.map(({ until, hash }, at) => (
            <option key={`${until} ${hash}`} value={at}>
              on {day(until)}
            </option>
          ))}
        </select>
      </label>
      <Diff before={before.definition} after={after} label={`What changed on ${day(before.until)}`} />
    </section>
  );
}

/** What the annotations say; they are hints that nobody has checked. */
function effects(annotations: Record<string, unknown> = {}): string {
  const said = [
    annotations["readOnlyHint"] === true ? "changes nothing" : annotations["destructiveHint"] === false ? "adds, does not delete" : "may delete or overwrite",
    annotations["openWorldHint"] === false ? "stays within its server" : "",
  ];
  return `${said.filter(Boolean).join(", ")}${Object.keys(annotations).length ? ", it says" : ", since it says nothing"}`;
}

// What stands where nothing is asked yet: what there is to find, and something to begin with.
import { useEffect, useState } from "preact/hooks";
import { get, useData } from "../../api";
import { count } from "../../parts/count";
import { Empty, Failure } from "../../parts/state";
import { onLook } from "../../vitals";
import type { Definition } from "./answer";
import type { Server } from "./filters";

const KEPT = "toolscout.searches";
/** So many of the last searches of this tab are offered again, and so many servers' tools. */
const RECENT = 6;
const EXAMPLES = 6;

export function recent(): string[] {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
    return Array.isArray(kept) ? kept.filter((text) => typeof text === "string") : [];
  } catch {
    return [];
  }
}

export function keepRecent(text: string) {
  const kept = [text, ...recent().filter((other) => other !== text)];
  sessionStorage.setItem(KEPT, JSON.stringify(kept.slice(0, RECENT)));
}

export function Start({ servers, search }: { servers: Server[]; search: (text: string) => void }) {
  const status = useData<{ generation: number; total: number }>("/v1/status");
  const { data, reload } = status;
  // While servers come in there are more from one generation to the next.
  useEffect(() => onLook((generation) => data && data.generation !== generation && reload()), [data, reload]);
  const examples = useExamples(servers);
  const kept = recent();
  if (status.error) return <Failure error={status.error} again={status.reload} />;
  if (!status.data) return null;
  const { total } = status.data;
  if (total === 0) {
    return (
      <Empty title="There are no tools yet">
        <p>
          <a href="/servers">The servers</a> say what they wait for. To try toolscout without servers of your own, start it with <code>toolscout serve --demo</code>.
        </p>
      </Empty>
    );
  }
  return (
    <Empty title={`${count(total, "tool")} of ${count(servers.length, "server")}`}>
      <p>Say in a few words what a tool should do, or spell its name.</p>
      <Offers label="Searched before in this tab" texts={kept} search={search} />
      <Offers label="For example" texts={examples} search={search} />
    </Empty>
  );
}

function Offers({ label, texts, search }: { label: string; texts: string[]; search: (text: string) => void }) {
  if (!texts.length) return null;
  return (
    <div class="offers" role="group" aria-label={label}>
      <span class="small">{label}:</span>
      {texts.map((text) => (
        <button key={text} type="button" onClick={() => search(text)}>
          {text}
        </button>
      ))}
    </div>
  );
}

/** What the first tools of some servers are called. */
function useExamples(servers: Server[]): string[] {
  const [examples, setExamples] = useState<string[]>([]);
  const ids = servers
    .filter((server) => server.tools)
    .slice(0, EXAMPLES)
    .map((server) => server.id)
    .join("\n");
  useEffect(() => {
    if (!ids) return;
    const abort = new AbortController();
    const first = (server: string) => get<{ tools: { name: string; definition: Definition }[] }>("/v1/tools", { server, limit: 1 }, abort.signal);
    Promise.all(ids.split("\n").map(first))
      .then((pages) => setExamples([...new Set(pages.flatMap(({ tools }) => tools.map(({ name, definition }) => readable(definition.title ?? name))))]))
      // Examples are no need: what is wrong is told elsewhere.
      .catch(() => {});
    return () => abort.abort();
  }, [ids]);
  return examples;
}

function readable(name: string): string {
  return name
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replace(/[_./-]+/g, " ")
    .toLowerCase();
}

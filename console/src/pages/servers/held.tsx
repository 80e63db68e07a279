// Definitions that are offered and not served: what changed, what was found, and an operator's word.
import { useState } from "preact/hooks";
import { useData } from "../../api";
import { count } from "../../parts/count";
import { Diff, pretty } from "../../parts/diff";
import { Waiting } from "../../parts/state";
import { Findings, type Found } from "../catalog/findings";
import { act, refusal, Word, type Said } from "./act";

interface Pending {
  id: string;
  server: string;
  name: string;
  held: { hash: string; since: string; why: "pinned" | "quarantined"; parts: string[]; rejected: boolean; findings: Found[] };
  definition: string;
  served: string | null;
}

export function Held({ server, held }: { server: string; held: number }) {
  // Asked anew when there are more or fewer.
  const { data, error, reload } = useData<{ pending: Pending[] }>(`/v1/admin/pending?server=${encodeURIComponent(server)}#${held}`);
  const [said, setSaid] = useState<Said>();
  const decide = async (word: "approve" | "reject", { name, held }: Pending) => {
    const done = word === "approve" ? `${name} is served as it was shown here.` : `${name} stays as it was.`;
    setSaid(await act("POST", `/v1/admin/servers/${encodeURIComponent(server)}/${word}`, { tools: [{ name, hash: held.hash }] }, () => done));
    reload();
  };
  return (
    <section class="held">
      <h3>{count(held, "definition is held back", "definitions are held back")}</h3>
      <Word said={said ?? (error && refusal(error))} />
      {!data && !error && <Waiting what="Reading what is held" />}
      {data?.pending.map((pending) => (
        <details key={pending.id} class="card">
          <summary>
            <code>{pending.name}</code> <span class={`badge ${pending.held.why === "quarantined" ? "bad" : "warn"}`}>{pending.held.why}</span>{" "}
            {pending.held.rejected && <span class="badge">rejected</span>}
          </summary>
          <Findings found={pending.held.findings} />
          {pending.served === null ? (
            <pre>{pretty(pending.definition)}</pre>
          ) : (
            <Diff before={pending.served} after={pending.definition} label={`What would change of ${pending.name}`} />
          )}
          <div class="row">
            <button type="button" class="main" onClick={() => decide("approve", pending)}>
              Approve
            </button>
            {!pending.held.rejected && (
              <button type="button" onClick={() => decide("reject", pending)}>
                Reject
              </button>
            )}
          </div>
        </details>
      ))}
    </section>
  );
}

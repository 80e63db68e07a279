// The answer to a search, or what stands in its place.
import { count } from "../../parts/count";
import { Empty, Failure, Waiting } from "../../parts/state";
import type { Answer, Asking } from "./answer";
import { type Asked, filters } from "./asked";
import { Copies, ofSearch } from "./copy";
import { HitCard, mostOf } from "./hit";
import { Start } from "./start";
import type { Servers } from "./state";

interface Props {
  asked: Asked;
  asking: Asking & { again: () => void };
  servers: Servers;
  open: ReadonlySet<string>;
  toggle: (id: string) => void;
  askWhy: (id: string) => void;
  search: (text: string) => void;
  clear: () => void;
}

export function Results({ asked, asking, servers, open, toggle, askWhy, search, clear }: Props) {
  const { answer, error, isWaiting, again } = asking;
  if (error) {
    return (
      <>
        <Failure error={error} again={again} />
        {error.status === 503 && <p class="state">It is asked again until it answers.</p>}
        {error.status === 400 && filters(asked) > 0 && (
          <p class="state">
            <button type="button" onClick={clear}>
              Ask without filters
            </button>
          </p>
        )}
      </>
    );
  }
  if (!answer) return isWaiting ? <Waiting what="Searching" /> : <Start servers={servers.list} search={search} />;
  const { tools } = answer;
  if (!tools) return <Empty title="This profile answers in a host’s format">Ask without the profile to see each tool and how it came to its place.</Empty>;
  const stale = new Set(answer.stale.map(({ server }) => server));
  const most = mostOf(tools);
  return (
    <>
      <p class="visually-hidden" role="status">
        {count(tools.length, "tool")} found
      </p>
      <div class="told-row" aria-busy={isWaiting}>
        <Told answer={answer} trip={asking.trip} />
        <Copies label="Copy as" copies={ofSearch(asked, asked.why)} />
      </div>
      {tools.length === 0 ? (
        <Nothing asked={asked} clear={clear} />
      ) : (
        answer.no_good_match && (
          <p class="notice">
            <strong>None of these is likely to be what was meant.</strong> Say what the tool does, in other words; or name the tool that you expected, under “Why not this tool?”.
          </p>
        )
      )}
      <ol class="hits" aria-label="Tools found, best first">
        {tools.map((hit, at) => (
          <HitCard
            key={hit.id}
            hit={hit}
            place={at + 1}
            asked={asked}
            server={servers.byId.get(hit.server)}
            isStale={stale.has(hit.server)}
            most={most}
            isOpen={open.has(hit.id)}
            toggle={() => toggle(hit.id)}
            askWhy={askWhy}
          />
        ))}
      </ol>
    </>
  );
}

function Told({ answer, trip }: { answer: Answer; trip: number | undefined }) {
  const { tools = [], tokens } = answer;
  const size = tools.reduce((sum, hit) => sum + (hit.tokens ?? 0), 0);
  return (
    <div class="told-answer">
      <p>
        <strong>{count(tools.length, "tool")}</strong>
        {" · "}
        <span class={`badge ${answer.reason ? "warn" : ""}`} data-mode={answer.mode}>
          {answer.mode}
        </span>
        {" · "}
        <span>search {(answer.took_us / 1000).toFixed(2)} ms</span>
        {trip !== undefined && <span>, round trip {trip.toFixed(0)} ms</span>}
        {" · "}
        <span>generation {answer.generation}</span>
        {" · "}
        <span>
          {tokens
            ? `${tokens.returned.toLocaleString("en")} of ${tokens.budget.toLocaleString("en")} tokens, all tools have ${tokens.baseline.toLocaleString("en")}`
            : count(size, "token")}
        </span>
      </p>
      {answer.reason && <p class="small">Because {answer.reason}.</p>}
    </div>
  );
}

function Nothing({ asked, clear }: { asked: Asked; clear: () => void }) {
  return (
    <Empty title="Nothing was found">
      {filters(asked) > 0 ? (
        <>
          <p>{asked.arm === "lexical" ? "Words alone are compared, and no tool that the filters let through has any of these." : "No tool that the filters let through fits."}</p>
          <button type="button" onClick={clear}>
            Ask without filters
          </button>
        </>
      ) : (
        <p>
          No tool has any of these words. Try others, or look at <a href="/catalog">the catalog</a>.
        </p>
      )}
    </Empty>
  );
}

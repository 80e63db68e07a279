// Two ways of asking side by side: what both find, what moved, what only one finds.
import { count } from "../../parts/count";
import { Failure, Waiting } from "../../parts/state";
import { useTyped } from "../../parts/typed";
import { type Asking, type Hit, useAnswer } from "./answer";
import { type Asked, type Config, address, configOf, difference, other, searchPath } from "./asked";
import { Filters, type Server } from "./filters";
import { percent } from "./hit";
import { Marked } from "./marked";
import { PAUSE } from "./state";
import "./compare.css";

interface Props {
  asked: Asked;
  first: Asking & { again: () => void };
  change: (compare: Partial<Config>) => void;
  servers: Server[];
}

export function Compare({ asked, first, change, servers }: Props) {
  const base = configOf(asked);
  const second = other(asked);
  const answer = useAnswer(searchPath(second, { explain: "1" }));
  const edit = (part: Partial<Config>) => change(difference({ ...second, ...part }, base));
  return (
    <section class="compare" aria-label="Two ways of asking">
      <div class="card second">
        <h2>Compared with</h2>
        <SecondQuery text={second.q} change={(q) => edit({ q })} />
        <Filters config={second} change={edit} servers={servers} />
      </div>
      <Told first={first.answer?.tools} second={answer.answer?.tools} />
      <div class="sides">
        <Side name="First" config={base} asking={first} against={answer.answer?.tools} otherConfig={second} />
        <Side name="Second" config={second} asking={answer} against={first.answer?.tools} otherConfig={base} />
      </div>
    </section>
  );
}

function SecondQuery({ text, change }: { text: string; change: (text: string) => void }) {
  const [typed, type] = useTyped(text, PAUSE, change);
  return <input class="second-query" type="text" spellcheck={false} autocomplete="off" aria-label="The second query" placeholder="The same query, or another" value={typed} onInput={(event) => type(event.currentTarget.value)} />;
}

function Told({ first, second }: { first: Hit[] | undefined; second: Hit[] | undefined }) {
  if (!first || !second) return null;
  const places = new Map(second.map((hit, at) => [hit.id, at]));
  const both = first.filter((hit) => places.has(hit.id));
  const moved = first.filter((hit, at) => places.has(hit.id) && places.get(hit.id) !== at);
  const told = [`${both.length} in both`, `${moved.length} of them moved`, `${first.length - both.length} only in the first`, `${second.length - both.length} only in the second`];
  return (
    <p class="told-compare" role="status">
      {told.join(" · ")}
    </p>
  );
}

interface SideProps {
  name: string;
  config: Config;
  asking: Asking & { again: () => void };
  against: Hit[] | undefined;
  otherConfig: Config;
}

function Side({ name, config, asking, against, otherConfig }: SideProps) {
  const { answer, error, isWaiting, again } = asking;
  const places = new Map(against?.map((hit, at) => [hit.id, at]));
  return (
    <section class="side" aria-label={name}>
      <h2>
        {name}
        {answer && (
          <span class="small">
            {" "}
            {count(answer.tools?.length ?? 0, "tool")} · {answer.mode} · {(answer.took_us / 1000).toFixed(2)} ms
          </span>
        )}
      </h2>
      {error && <Failure error={error} again={again} />}
      {!answer && !error && isWaiting && <Waiting what="Searching" />}
      {!answer && !error && !isWaiting && <p class="small">Nothing is asked yet.</p>}
      {answer?.tools?.length === 0 && <p class="small">No tool.</p>}
      <ol class="compared">
        {answer?.tools?.map((hit, at) => (
          <li key={hit.id} data-tool-id={hit.id}>
            <span class="place">{at + 1}</span>
            <span class="grow">
              <a class="hit-open" href={address({ ...config, why: hit.id })}>
                <Marked text={hit.name} words={hit.explain?.words?.name} />
              </a>{" "}
              <span class="small">
                {hit.server}, {percent(hit.confidence)} sure
              </span>
            </span>
            {against && <Move from={places.get(hit.id)} to={at} whyNot={address({ ...otherConfig, why: hit.id })} />}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Move({ from, to, whyNot }: { from: number | undefined; to: number; whyNot: string }) {
  if (from === undefined) {
    return (
      <span>
        <span class="badge warn">only here</span>{" "}
        <a class="small" href={whyNot}>
          why not there?
        </a>
      </span>
    );
  }
  if (from === to) return <span class="badge">same place</span>;
  return from > to ? <span class="badge good">↑ {from - to} higher</span> : <span class="badge">↓ {to - from} lower</span>;
}

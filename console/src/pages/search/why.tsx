// Why a tool stands where it does, found or not, and what would change that.
import { useData } from "../../api";
import { type Column, Heads } from "../../parts/heads";
import type { Answer, Definition, Hit, Verdict, Why } from "./answer";
import type { Config } from "./asked";
import { Bar, fieldName, Matched, ordinal, percent, said } from "./hit";
import { Marked } from "./marked";
import { Picker } from "./picker";

/** The largest limit that the API takes. */
const MOST = 50;

interface Props {
  id: string;
  asked: Config;
  answer: Answer | undefined;
  choose: (id: string) => void;
  change: (change: Partial<Config>) => void;
}

export function WhyNot({ id, asked, answer, choose, change }: Props) {
  const why = answer?.why?.id === id ? answer.why : undefined;
  return (
    <section class="card why" aria-labelledby="why-title">
      <h2 id="why-title">Why not this tool?</h2>
      <Picker key={id} id={id} profile={asked.profile} choose={choose} />
      {!id && <p class="small">Name a tool that you expected, or paste its id: you are told where it ranks, and what keeps it there.</p>}
      {id && !asked.q.trim() && <p class="small">Type what was asked for, to see how this tool ranks.</p>}
      {id && why && <Verdicts why={why} asked={asked} hits={answer?.tools ?? []} choose={choose} change={change} />}
    </section>
  );
}

const VERDICTS: Record<Verdict, [badge: string, title: string]> = {
  returned: ["good", "In the answer"],
  grouped: ["good", "Named beside its twin"],
  pinned: ["good", "Pinned"],
  below_cut: ["warn", "Below the cut"],
  beyond_depth: ["warn", "Too far off"],
  filtered: ["warn", "Filtered out"],
  held: ["bad", "Held back"],
  server_unavailable: ["bad", "Server not there"],
  unknown_tool: ["bad", "No such tool"],
};

interface VerdictProps {
  why: Why;
  asked: Config;
  hits: Hit[];
  choose: (id: string) => void;
  change: (change: Partial<Config>) => void;
}

function Verdicts({ why, asked, hits, choose, change }: VerdictProps) {
  const [badge, title] = VERDICTS[why.verdict];
  const isKnown = !["unknown_tool", "held", "server_unavailable"].includes(why.verdict);
  const known = useData<{ definition: Definition; server: string }>(isKnown ? `/v1/tools/${encodeURIComponent(why.id)}` : null);
  const definition = known.data?.definition;
  return (
    <div class="verdict" data-verdict={why.verdict}>
      <p>
        <span class={`badge ${badge}`}>{title}</span> {capital(why.because)}.
      </p>
      {isKnown && <Places why={why} hits={hits} />}
      {why.terms.length > 0 && <Adds terms={why.terms} />}
      {isKnown && <Lacks why={why} hits={hits} />}
      <Next why={why} asked={asked} server={known.data?.server} choose={choose} change={change} />
      {definition && (
        <>
          <h3>
            What it says of itself{why.confidence !== undefined && <span class="small">, {percent(why.confidence)} sure to fit</span>}
          </h3>
          <p>
            <Marked text={said(definition.description) || "Nothing."} words={why.words?.description} />
          </p>
          <Matched words={why.words ?? {}} />
        </>
      )}
    </div>
  );
}

/** Its places in both arms beside those of the first tool, and of the last one before it. */
function Places({ why, hits }: { why: Why; hits: Hit[] }) {
  const others = hits.filter((hit) => hit.id !== why.id);
  const before = others.slice(0, Math.max(0, (why.place ?? Infinity) - 1));
  const beside = [...new Set([before[0] ?? others[0], before.at(-1)])].filter((hit) => hit !== undefined);
  const placed = (at: { rank: number; score: number } | null | undefined) => (at ? `${ordinal(at.rank)}, ${at.score.toFixed(2)}` : "–");
  const rows: [string, string, (hit: Hit) => string][] = [
    ["Words", placed(why.lexical), (hit) => placed(hit.explain?.lexical)],
    ["Meaning", placed(why.dense), (hit) => placed(hit.explain?.dense)],
    ["Together", why.score?.toFixed(2) ?? "–", (hit) => hit.score.toFixed(2)],
  ];
  const nameOf = (hit: Hit): Column => [`${ordinal(hits.indexOf(hit) + 1)}: ${hit.name.replaceAll("_", "_\u200b")}`, "number"];
  return (
    <div class="places">
      <table>
        <Heads columns={["Arm", ["this tool", "number"], ...beside.map(nameOf)]} />
        <tbody>
          {rows.map(([name, own, of]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="number">{own}</td>
              {beside.map((hit) => (
                <td key={hit.id} class="number">
                  {of(hit)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What each term adds to its score by words, and from where. */
function Adds({ terms }: { terms: Why["terms"] }) {
  const most = Math.max(...terms.map((term) => term.score));
  return (
    <>
      <h3>What its words add</h3>
      <dl class="adds">
        {terms.map(({ term, score, fields }) => {
          const from = Object.entries(fields).sort(([, a], [, b]) => b - a);
          return (
            <Bar key={term} arm="words" name={term} share={score / most} text={score.toFixed(2)}>
              <span class="small">{from.map(([field, part]) => `${fieldName(field)} ${part.toFixed(2)}`).join(", ")}</span>
            </Bar>
          );
        })}
      </dl>
    </>
  );
}

const WEIGHTY = ["name", "title"];

/** The query's terms that tools before it have and it has not, or only in places that count less. */
function Lacks({ why, hits }: { why: Why; hits: Hit[] }) {
  const before = hits.filter((hit) => hit.id !== why.id).slice(0, Math.max(0, (why.place ?? Infinity) - 1));
  const own = new Map(why.terms.map((term) => [term.term, Object.keys(term.fields)]));
  const fields = new Map<string, string[][]>();
  for (const hit of before) {
    const of = new Map<string, string[]>();
    for (const [field, terms] of Object.entries(hit.explain?.matched ?? {})) for (const term of terms) of.set(term, [...(of.get(term) ?? []), field]);
    for (const [term, at] of of) fields.set(term, [...(fields.get(term) ?? []), at]);
  }
  const lines = [...fields].flatMap(([term, all]) => {
    const has = own.get(term);
    if (!has) return [{ term, text: `not in it, but in ${all.length} of ${before.length} before it` }];
    const better = all.filter((at) => at.some((field) => WEIGHTY.includes(field))).length;
    const isWeaker = !has.some((field) => WEIGHTY.includes(field));
    if (!isWeaker || !better) return [];
    return [{ term, text: `only in its ${has.map(fieldName).join(", ")}; ${better} of ${before.length} before it have it in name or title` }];
  });
  if (!lines.length) return null;
  return (
    <>
      <h3>What those before it have</h3>
      <ul class="lacks">
        {lines.map(({ term, text }) => (
          <li key={term}>
            <code>{term}</code> {text}
          </li>
        ))}
      </ul>
    </>
  );
}

function Next({ why, asked, server, choose, change }: Omit<VerdictProps, "hits"> & { server: string | undefined }) {
  const button = (text: string, act: () => void) => (
    <button type="button" onClick={act}>
      {text}
    </button>
  );
  const open = { servers: [], read_only: "", destructive: "", open_world: "" };
  const name = why.id.slice((server ?? "").length + 1).replace(/[_./-]+/g, " ");
  const place = why.place ?? 0;
  const next = {
    returned: <p>The agent had it. If it was not called, compare its description with those beside it.</p>,
    pinned: <p>The profile gives it with every answer.</p>,
    grouped: (
      <p class="row">
        {button(`About ${why.under}`, () => why.under && choose(why.under))}
        {server && button(`Search ${server} alone`, () => change({ servers: [server] }))}
      </p>
    ),
    below_cut:
      place <= MOST ? (
        <p class="row">{button(`Ask for ${place} tools`, () => change({ limit: String(place) }))} or name in the query what only this tool does.</p>
      ) : (
        <p>No answer has so many tools: name in the query what only this tool does.</p>
      ),
    beyond_depth: (
      <p class="row">
        {server && button(`Search for “${name}”`, () => change({ q: name }))} The query and the tool have too little in common: say in its description what it is used for, in
        the words of those who ask.
      </p>
    ),
    filtered: <p class="row">{button("Ask without these filters", () => change(open))}</p>,
    held: (
      <p>
        Look at what was found in it <a href={`/catalog?tool=${encodeURIComponent(why.id)}`}>in the catalog</a>, then approve it with <code>toolscout trust approve {why.id}</code>.
      </p>
    ),
    server_unavailable: (
      <p>
        <a href="/servers">The servers</a> say what is wrong with it.
      </p>
    ),
    unknown_tool: why.similar?.length ? (
      <p class="row">
        Is it {why.similar.map((id) => button(id, () => choose(id)))}
        {asked.profile && " or one that the profile leaves out"}?
      </p>
    ) : (
      <p>
        <a href="/catalog">The catalog</a> has every tool{asked.profile && "; the profile may leave it out"}.
      </p>
    ),
  }[why.verdict];
  return (
    <>
      <h3>What to do</h3>
      {next}
    </>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// A tool that was found: what it is, and how it came to its place.
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { count } from "../../parts/count";
import { span, useNow } from "../../parts/time";
import { Parameters } from "../catalog/parameters";
import type { Config } from "./asked";
import type { Definition, Explain, Hit } from "./answer";
import { Copies, ofTool } from "./copy";
import type { Server } from "./filters";
import { Marked } from "./marked";

interface Props {
  hit: Hit;
  place: number;
  asked: Config;
  server: Server | undefined;
  /** Its server was listed, and could not be since. */
  isStale: boolean;
  /** The best scores of the answer's tools, which the bars are measured against. */
  most: Most;
  isOpen: boolean;
  toggle: () => void;
  askWhy: (id: string) => void;
}

export function HitCard({ hit, place, asked, server, isStale, most, isOpen, toggle, askWhy }: Props) {
  const id = useId();
  const words = hit.explain?.words ?? {};
  const { definition } = hit;
  const title = definition.title ?? definition.annotations?.title;
  return (
    <li class="hit" data-tool-id={hit.id}>
      <div class="hit-head">
        <span class="place" aria-hidden="true">
          {place}
        </span>
        <h2>
          <button type="button" class="hit-open" aria-expanded={isOpen} aria-controls={id} onClick={toggle}>
            <Marked text={hit.name} words={words.name} />
          </button>
        </h2>
        <span class="hit-server">
          <Marked text={hit.server} words={words.server} />
          {server && <Listed at={server.listedAt} isStale={isStale} />}
        </span>
        <span class="hit-facts">
          {hit.explain?.exact_name && <span class="badge good">exact name</span>}
          {hit.pinned && <span class="badge">pinned</span>}
          {hit.reduced && <span class="badge warn">shortened</span>}
          <span class="small number">{percent(hit.confidence)} sure</span>
          {hit.tokens !== undefined && <span class="small number">{count(hit.tokens, "token")}</span>}
        </span>
      </div>
      <div class="hit-body">
        <div class="grow">
          {title && title !== hit.name && (
            <p class="hit-title">
              <Marked text={title} words={words.title} />
            </p>
          )}
          <p class={isOpen ? "hit-description" : "hit-description cut"}>
            <Marked text={said(definition.description) || "It says nothing of itself."} words={words.description} />
          </p>
          {!isOpen && <ParamNames definition={definition} words={words.params} />}
          {hit.duplicates && (
            <p class="small">
              The same tool: <code>{hit.duplicates.join(", ")}</code>
            </p>
          )}
        </div>
        <Arms explain={hit.explain} score={hit.score} most={most} />
      </div>
      <div id={id} class="hit-more">
        {isOpen && (
          <>
            <div class="params-table">
              <Parameters schema={definition.inputSchema} mark={(text) => <Marked text={text} words={words.params} />} />
            </div>
            <Matched words={words} />
            {hit.reduced && <p class="small">{hit.reduced}</p>}
            <Copies label="Copy" copies={ofTool(asked, hit.id, definition)} />
            <p class="row">
              <button type="button" onClick={() => askWhy(hit.id)}>
                Why is it here?
              </button>
              <a href={`/catalog?tool=${encodeURIComponent(hit.id)}`}>In the catalog</a>
            </p>
            <h3>Definition</h3>
            <pre tabIndex={0} aria-label={`Definition of ${hit.id}`}>
              {JSON.stringify(definition, null, 2)}
            </pre>
          </>
        )}
      </div>
    </li>
  );
}

/** When a server was listed, which gets longer ago as one looks. */
function Listed({ at, isStale }: { at: number | undefined; isStale: boolean }) {
  const now = useNow();
  const listed = at === undefined ? "never listed" : `listed ${span(now - at)} ago`;
  return isStale ? <span class="badge warn">stale: {listed}</span> : <span class="small"> {listed}</span>;
}

/** The best score of each arm. */
export interface Most {
  lexical: number;
  score: number;
}

export function mostOf(hits: Hit[]): Most {
  const most = (of: (hit: Hit) => number | undefined) => Math.max(1e-6, ...hits.map((hit) => of(hit) ?? 0));
  return { lexical: most((hit) => hit.explain?.lexical?.score), score: most((hit) => hit.score) };
}

export function Arms({ explain, score, most }: { explain: Pick<Explain, "lexical" | "dense" | "reranked" | "learned" | "boost"> | undefined; score: number | undefined; most: Most }) {
  const { lexical, dense, reranked, learned, boost } = explain ?? {};
  return (
    <dl class="arms">
      <Bar arm="words" name="Words" share={(lexical?.score ?? 0) / most.lexical} text={lexical ? `${ordinal(lexical.rank)}, ${lexical.score.toFixed(2)}` : "no match"} />
      <Bar arm="meaning" name="Meaning" share={dense?.score ?? 0} text={dense ? `${ordinal(dense.rank)}, ${dense.score.toFixed(2)}` : "–"} />
      {reranked && <Bar arm="reranked" name="Reranked" share={1 / reranked.rank} text={`${ordinal(reranked.rank)}, ${reranked.score.toFixed(2)}`} />}
      {learned && <Bar arm="learned" name="Learned" share={learned.lift} text={`+${learned.lift.toFixed(2)}, from ${count(learned.evidence, "use")}`} />}
      {score !== undefined && <Bar arm="score" name="Together" share={score / most.score} text={score.toFixed(2) + (boost === undefined ? "" : `, boosted × ${boost}`)} />}
    </dl>
  );
}

/** A bar is a picture of the text beside it. */
export function Bar({ arm, name, share, text, children }: { arm: string; name: string; share: number; text: string; children?: ComponentChildren }) {
  return (
    <div class={`bar ${arm}`}>
      <dt>{name}</dt>
      <dd>
        <span class="track" aria-hidden="true">
          <span style={{ width: `${100 * Math.max(0, Math.min(1, share))}%` }} />
        </span>
        <span class="number">{text}</span>
      </dd>
      {children && <dd class="bar-more">{children}</dd>}
    </div>
  );
}

function ParamNames({ definition, words }: { definition: Definition; words: string[] | undefined }) {
  const properties = definition.inputSchema?.properties;
  const names = Object.keys(typeof properties === "object" ? (properties ?? {}) : {});
  if (!names.length) return null;
  return (
    <p class="small params">
      {names.map((name) => (
        <code key={name}>
          <Marked text={name} words={words} />
        </code>
      ))}
    </p>
  );
}

const FIELDS: Record<string, string> = {
  name: "name",
  title: "title",
  description: "description",
  params: "parameters",
  server: "server",
  server_description: "server’s description",
};

export function fieldName(field: string): string {
  return FIELDS[field] ?? field;
}

export function Matched({ words }: { words: Record<string, string[]> }) {
  const fields = Object.keys(FIELDS).filter((field) => words[field]?.length);
  if (!fields.length) return <p class="small">None of its words is in the query: it was found by its meaning.</p>;
  return (
    <dl class="matched">
      {fields.map((field) => (
        <div key={field}>
          <dt>{fieldName(field)}</dt>
          <dd>
            {words[field]?.map((word) => (
              <mark key={word}>{word}</mark>
            ))}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** A description without the lines that stand empty around it. */
export function said(description: unknown): string {
  return typeof description === "string" ? description.trim() : "";
}

export function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

export function ordinal(rank: number): string {
  const teens = rank % 100;
  const end = teens > 10 && teens < 14 ? "th" : (["th", "st", "nd", "rd"][rank % 10] ?? "th");
  return `${rank.toLocaleString("en")}${end}`;
}

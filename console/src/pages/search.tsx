// "Why did my agent not get this tool?": what a query finds, how each tool came to its place, and
// why another did not.
//
// Invariant: the address says what is asked and is the only place that does, but for what is being
// typed at the moment; so Back, links and a second tab show the same.
import { useEffect, useRef, useState } from "preact/hooks";
import "./search.css";
import { useAnswer } from "./search/answer";
import { filters, searchPath } from "./search/asked";
import { Compare } from "./search/compare";
import { Filters } from "./search/filters";
import { Results } from "./search/results";
import { keepRecent } from "./search/start";
import { useAsked, useServers } from "./search/state";
import { WhyNot } from "./search/why";
import { onGeneration } from "../vitals";

const NO_FILTERS = { servers: [], arm: "", read_only: "", destructive: "", open_world: "", limit: "", token_budget: "", profile: "" };

export function Search() {
  const { asked, text, type, settle, go } = useAsked();
  const isComparing = asked.compare !== undefined;
  const asking = useAnswer(searchPath(asked, { explain: "1", why: asked.why }));
  const { answer } = asking;
  const servers = useServers(answer?.generation);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [narrows, setNarrows] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  const toggle = (id: string) => setOpen((before) => (before.has(id) ? new Set([...before].filter((other) => other !== id)) : new Set([...before, id])));
  const field = () => place.current?.querySelector<HTMLInputElement>("[data-search]");
  const onKeyDown = (event: KeyboardEvent) => {
    if (!(event.target instanceof HTMLElement) || event.ctrlKey || event.metaKey || event.altKey) return;
    const isField = event.target === field();
    if (!isField && !event.target.closest(".results")) return;
    const all = [...(place.current?.querySelectorAll<HTMLElement>(".results .hit-open") ?? [])];
    const at = all.findIndex((hit) => hit === event.target || hit.closest("li")?.contains(event.target as Node));
    if (event.key === "Escape") {
      if (isField) field()?.blur();
      else field()?.focus();
    } else if (isField && event.key === "Enter") {
      // Else the button that is focused by it is pressed by it as well.
      event.preventDefault();
      settle();
      all[0]?.focus();
      const first = answer?.tools?.[0];
      if (first && !isComparing && !open.has(first.id)) toggle(first.id);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!isField && /^(INPUT|SELECT|TEXTAREA|PRE)$/.test(event.target.tagName)) return;
      event.preventDefault();
      const to = isField ? 0 : at + (event.key === "ArrowDown" ? 1 : -1);
      if (isField) settle();
      if (to < 0) field()?.focus();
      else all[to]?.focus();
    }
  };
  const aside = useRef<HTMLElement>(null);
  const why = (id: string) => {
    go({ why: id });
    // On a phone it stands above the results.
    requestAnimationFrame(() => aside.current?.scrollIntoView({ block: "nearest" }));
  };
  // An answer is of the catalog as it was: when there is another it is asked anew.
  const { again } = asking;
  const latest = useRef(again);
  latest.current = again;
  useEffect(() => onGeneration(() => latest.current()), []);
  return (
    <div class="search-page" ref={place} onKeyDown={onKeyDown}>
      <h1 class="visually-hidden">Search</h1>
      <div class="ask">
        <input
          data-search
          type="text"
          role="searchbox"
          aria-label="What should the tool do?"
          aria-keyshortcuts="/"
          enterkeyhint="search"
          placeholder="What should the tool do? (/)"
          spellcheck={false}
          autocomplete="off"
          autoFocus
          value={text}
          onInput={(event) => type(event.currentTarget.value)}
          onBlur={settle}
        />
        <button type="button" aria-pressed={isComparing} onClick={() => go({ compare: isComparing ? undefined : {} })}>
          Compare
        </button>
      </div>
      <details class="filter-box" open={narrows || filters(asked) > 0} onToggle={(event) => setNarrows(event.currentTarget.open)}>
        <summary>Filters{filters(asked) > 0 && ` (${filters(asked)})`}</summary>
        <Filters config={asked} change={(change) => go(change)} servers={servers.list} />
      </details>
      <div class="panes">
        <div class="results">
          {isComparing ? (
            <Compare asked={asked} first={asking} change={(compare) => go({ compare }, false)} servers={servers.list} />
          ) : (
            <Results
              asked={asked}
              asking={asking}
              servers={servers}
              open={open}
              toggle={toggle}
              askWhy={why}
              search={(q) => {
                keepRecent(q);
                go({ q });
              }}
              clear={() => go(NO_FILTERS)}
            />
          )}
        </div>
        <aside ref={aside} class={asked.why ? "asked-why" : ""}>
          <WhyNot id={asked.why} asked={asked} answer={answer} choose={why} change={(change) => go(change)} />
        </aside>
      </div>
    </div>
  );
}

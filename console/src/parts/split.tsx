// A list, and beside it what is chosen of it: Enter goes to that, Escape back to the list.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Cross } from "./cross";
import "./split.css";

interface Props {
  name: string;
  label: string;
  detailLabel: string;
  /** Something is chosen. */
  isOpen: boolean;
  close: () => void;
  list: ComponentChildren;
  detail: ComponentChildren;
}

interface HeadProps {
  title: string;
  /** What there is in the list. */
  what: string;
  /** How many there are, and how they do. */
  summary: string;
  /** What the filter looks at. */
  looksAt: string;
  text: string;
  filter: (text: string) => void;
  /** What stands beside the filter. */
  children: ComponentChildren;
}

/** Above the list: what it is of, and what narrows it. */
export function SplitHead({ title, what, summary, looksAt, text, filter, children }: HeadProps) {
  return (
    <>
      <div class="row split-head">
        <h1>{title}</h1>
        <p class="small" role="status">
          {summary}
        </p>
      </div>
      <div class="row split-filter">
        <input class="grow" type="search" placeholder={`Filter by ${looksAt}`} aria-label={`Filter ${what}`} data-search value={text} onInput={(event) => filter(event.currentTarget.value)} />
        {children}
      </div>
    </>
  );
}

/** Whether each word of a filter stands in what is said of something, in small letters. */
export function matcher(text: string): (said: string) => boolean {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return (said) => words.every((word) => said.includes(word));
}

export function Split({ name, label, detailLabel, isOpen, close, list, detail }: Props) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || !isOpen || document.querySelector("dialog[open]")) return;
      close();
      place.current?.querySelector<HTMLElement>("[role=listbox]")?.focus();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [isOpen, close]);
  return (
    <div ref={place} class={`${name} split ${isOpen ? "has-detail" : ""}`}>
      <section class="split-list" aria-label={label}>
        {list}
      </section>
      <section class="split-detail" aria-label={detailLabel} tabIndex={-1}>
        {detail}
      </section>
    </div>
  );
}

/** Above what is chosen: its title, and the way back. */
export function DetailHead({ title, close }: { title: string; close: () => void }) {
  return (
    <header class="row">
      <h2 class="grow">{title}</h2>
      <Cross label="Back to the list" press={close} />
    </header>
  );
}

/** To what is chosen, once it is there. */
export function goToDetail() {
  requestAnimationFrame(() => document.querySelector<HTMLElement>(".split-detail")?.focus());
}

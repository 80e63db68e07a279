// A list, and beside it what is chosen of it: Enter goes to that, Escape back to the list.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
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

/** To what is chosen, once it is there. */
export function goToDetail() {
  requestAnimationFrame(() => document.querySelector<HTMLElement>(".split-detail")?.focus());
}

// What charts have alike: the card with its table, the room they draw in, and the lines at round numbers.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

/** Of a drawing, in pixels. */
export const HEIGHT = 170;

/** What a drawing leaves free around its values. */
export interface Pad {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** The width of an element, as it changes. */
export function useWidth() {
  const place = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(Math.floor(element.clientWidth)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return { place, width };
}

/** Round numbers from 0 to at least `most`. */
export function ticks(most: number): number[] {
  if (!(most > 0)) return [0, 1];
  const raw = most / 3;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((times) => times * power >= raw) ?? 10);
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, at) => at * step);
}

/** A card with a chart, and the same as a table. */
export function Figure({ title, note, table, children }: { title: string; note?: ComponentChildren; table: () => ComponentChildren; children: ComponentChildren }) {
  const [isTable, setIsTable] = useState(false);
  return (
    <section class="card figure" aria-label={title}>
      <header class="row">
        <h2 class="grow">{title}</h2>
        <button type="button" class="quiet small" aria-pressed={isTable} aria-label={`Table: ${title}`} onClick={() => setIsTable(!isTable)}>
          Table
        </button>
      </header>
      {note && <p class="small">{note}</p>}
      {isTable ? (
        <div class="figure-table" tabIndex={0} role="region" aria-label={`${title}, table`}>
          {table()}
        </div>
      ) : (
        children
      )}
    </section>
  );
}

/** How high up a value stands, where the last of `marks` is at the top. */
export function heights(marks: number[], { top, bottom }: Pad): (value: number) => number {
  const most = marks[marks.length - 1] ?? 1;
  return (value) => HEIGHT - bottom - ((HEIGHT - top - bottom) * value) / most;
}

interface DrawingProps {
  width: number;
  pad: Pad;
  marks: number[];
  y: (value: number) => number;
  textOf: (mark: number) => string;
  children: ComponentChildren;
}

/** The drawing itself, over a line for each of `marks`. */
export function Drawing({ width, pad, marks, y, textOf, children }: DrawingProps) {
  return (
    <svg width={width} height={HEIGHT} aria-hidden="true">
      {marks.map((mark) => (
        <g key={mark}>
          <line class="grid" x1={pad.left} x2={width - pad.right} y1={y(mark)} y2={y(mark)} />
          <text x={pad.left - 6} y={y(mark) + 4} text-anchor="end">
            {textOf(mark)}
          </text>
        </g>
      ))}
      {children}
    </svg>
  );
}

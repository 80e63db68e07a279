// A long list of which only the rows in sight are there: a catalog has tens of thousands.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";

interface Props<T> {
  items: T[];
  /** Of a row, in pixels. */
  height: number;
  label: string;
  row: (item: T, index: number) => ComponentChildren;
  idOf: (item: T) => string;
  /** The one that is marked, and what marks another: arrows, Home, End, a click. */
  chosen?: number | undefined;
  choose?: (index: number) => void;
  /** Enter, or a double click. */
  open?: (index: number) => void;
}

/** A list box: one stop for Tab, arrows move in it. */
export function VirtualList<T>({ items, height, label, row, idOf, chosen, choose, open }: Props<T>) {
  const place = useRef<HTMLDivElement>(null);
  const [, paint] = useReducer((count: number) => count + 1, 0);
  const options = {
    count: items.length,
    getScrollElement: () => place.current,
    estimateSize: () => height,
    overscan: 8,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    onChange: () => paint(0),
  };
  const [list] = useState(() => new Virtualizer<HTMLDivElement, HTMLDivElement>(options));
  list.setOptions(options);
  useLayoutEffect(() => list._didMount(), [list]);
  useLayoutEffect(() => list._willUpdate());
  useLayoutEffect(() => {
    if (chosen !== undefined) list.scrollToIndex(chosen);
  }, [list, chosen]);
  const onKeyDown = (event: KeyboardEvent) => {
    const at = chosen ?? -1;
    const page = Math.max(1, Math.floor((place.current?.clientHeight ?? height) / height) - 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined && items.length) {
      event.preventDefault();
      choose?.(Math.max(0, Math.min(items.length - 1, to)));
    } else if (event.key === "Enter" && chosen !== undefined) {
      event.preventDefault();
      open?.(chosen);
    }
  };
  const marked = chosen === undefined ? undefined : items[chosen];
  return (
    <div
      ref={place}
      class="virtual"
      role="listbox"
      tabIndex={0}
      aria-label={label}
      aria-activedescendant={marked && `row-${idOf(marked)}`}
      onKeyDown={onKeyDown}
    >
      <div role="presentation" style={{ height: `${list.getTotalSize()}px`, position: "relative" }}>
        {list.getVirtualItems().map(({ index, start }) => {
          const item = items[index];
          if (item === undefined) return null;
          const id = idOf(item);
          return (
            <div
              key={id}
              id={`row-${id}`}
              class="virtual-row"
              role="option"
              aria-selected={index === chosen}
              aria-setsize={items.length}
              aria-posinset={index + 1}
              style={{ height: `${height}px`, transform: `translateY(${start}px)` }}
              onClick={() => choose?.(index)}
              onDblClick={() => open?.(index)}
            >
              {row(item, index)}
            </div>
          );
        })}
      </div>
    </div>
  );
}

// The first row of a table.
import type { ComponentChildren } from "preact";

/** What a column is called, and its class where it has one. */
export type Column = string | [name: ComponentChildren, kind: string];

export function Heads({ columns }: { columns: Column[] }) {
  return (
    <thead>
      <tr>
        {columns.map((column, at) => {
          const [name, kind] = typeof column === "string" ? [column, ""] : column;
          return (
            <th key={at} scope="col" class={kind}>
              {name}
            </th>
          );
        })}
      </tr>
    </thead>
  );
}

/** A name for those alone who listen: others see what the column is. */
export function Unseen({ children }: { children: ComponentChildren }) {
  return <span class="visually-hidden">{children}</span>;
}

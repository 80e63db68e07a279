// What differs between two definitions, line by line.
import { diffLines } from "diff/lib/diff/line.js";
import "./diff.css";

/** So many lines that are the same are shown before and after others. */
const AROUND = 3;

interface Line {
  sign: "+" | "−" | " ";
  text: string;
}

/** A definition as it is read best; what is no JSON stays as it is. */
export function pretty(definition: unknown): string {
  try {
    return JSON.stringify(typeof definition === "string" ? JSON.parse(definition) : definition, null, 2);
  } catch {
    return String(definition);
  }
}

export function Diff({ before, after, label }: { before: unknown; after: unknown; label: string }) {
  const lines: Line[] = diffLines(`${pretty(before)}\n`, `${pretty(after)}\n`).flatMap(({ value, added, removed }) =>
    value
      .replace(/\n$/, "")
      .split("\n")
      .map((text): Line => ({ sign: added ? "+" : removed ? "−" : " ", text })),
  );
  const near = lines.map((_, at) => lines.slice(Math.max(0, at - AROUND), at + AROUND + 1).some((line) => line.sign !== " "));
  // A line takes no more room than the words that it is left out.
  const isShown = near.map((is, at) => is || (near[at - 1] !== false && near[at + 1] !== false));
  if (!near.some(Boolean)) return <p class="small">Both read the same: only white space or the order of members differs.</p>;
  let hidden = 0;
  return (
    <div class="diff" role="group" aria-label={label} tabIndex={0}>
      {lines.map((line, at) => {
        if (!isShown[at]) {
          hidden++;
          if (isShown[at + 1] === false) return null;
          const count = hidden;
          hidden = 0;
          return <p key={at}>… {count} lines the same</p>;
        }
        const Tag = line.sign === "+" ? "ins" : line.sign === "−" ? "del" : "span";
        return (
          <Tag key={at}>
            <b>{line.sign}</b>
            {line.text}
          </Tag>
        );
      })}
    </div>
  );
}

// A text in which the words that matched are marked.
//
// Invariant: marked is what the server says that it counted, and only as a whole word, where its
// tokenizer ends one: at what is no letter or digit, and at changes of case.

const LETTER = "[\\p{L}\\p{N}\\p{M}]";
/** Scripts without spaces: every character may end a word. */
const UNSPACED = "[\\p{sc=Han}\\p{sc=Hira}\\p{sc=Kana}\\p{sc=Hang}\\p{sc=Thai}\\p{sc=Lao}\\p{sc=Khmr}\\p{sc=Mymr}]";
const EDGE = `(?:(?<!${LETTER})|(?!${LETTER})|(?<!\\p{Lu})(?=\\p{Lu})|(?<=\\p{Lu})(?=\\p{Lu}\\p{Ll})|(?<=${UNSPACED})|(?=${UNSPACED}))`;

export function Marked({ text, words }: { text: string; words?: string[] | undefined }) {
  // A definition may have anything where a text should be.
  if (typeof text !== "string") return null;
  if (!words?.length) return <>{text}</>;
  const parts = [];
  let end = 0;
  for (const [from, to] of places(text, words)) {
    parts.push(text.slice(end, from), <mark key={from}>{text.slice(from, to)}</mark>);
    end = to;
  }
  parts.push(text.slice(end));
  return <>{parts}</>;
}

/** Where the words stand, in order; those that overlap as one. */
function places(text: string, words: string[]): [number, number][] {
  const longest = [...words].sort((a, b) => b.length - a.length);
  const escaped = longest.map((word) => word.replace(/[^\p{L}\p{N}\p{M}]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`));
  const found = new RegExp(`${EDGE}(?:${escaped.join("|")})${EDGE}`, "gu");
  const places: [number, number][] = [];
  for (let match = found.exec(text); match; match = found.exec(text)) {
    const [from, to] = [match.index, match.index + match[0].length];
    const last = places.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else places.push([from, to]);
    // Pairs of characters overlap.
    found.lastIndex = from + (text.codePointAt(from)! > 0xffff ? 2 : 1);
  }
  return places;
}

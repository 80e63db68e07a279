// Numbers with what they count.

/** `1 tool`, `2,500 tools`; `many` where that is no `s` at the end. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

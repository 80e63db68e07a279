// Times as a reader wants them: how long ago, how long still.
import { useEffect, useState } from "preact/hooks";

const STEPS: [number, string][] = [
  [60, "s"],
  [60, "min"],
  [24, "h"],
  [Number.POSITIVE_INFINITY, "d"],
];

/** A span in its largest unit: `42 s`, `3 min`, `5 h`, `12 d`. */
export function span(milliseconds: number): string {
  let count = Math.max(0, Math.round(milliseconds / 1000));
  for (const [size, unit] of STEPS) {
    if (count < size) return `${count} ${unit}`;
    count = Math.floor(count / size);
  }
  return "";
}

/** The moment, again every so often. */
export function useNow(every = 1000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/** A day and time of the reader's own clock. */
export function day(at: number | string): string {
  return new Date(at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** A day alone. */
export function date(at: number): string {
  return new Date(at).toLocaleDateString("en-GB", { dateStyle: "medium" });
}

/** A time of the last days, as exactly as `width` seconds are told apart. */
export function clock(at: number, width: number): string {
  const time = new Date(at).toLocaleTimeString("en-GB", { timeStyle: width < 60 ? "medium" : "short" });
  return width < 3600 ? time : `${new Date(at).toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${time}`;
}

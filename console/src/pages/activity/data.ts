// What the server counts, asked for again and again while somebody looks.
import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, asApiError, get } from "../../api";

export type Range = "10m" | "6h" | "14d";
/** Milliseconds between two looks: what is coarse changes slowly. */
const EVERY: Record<Range, number> = { "10m": 2_000, "6h": 5_000, "14d": 5_000 };
/** As many recent queries as the server keeps. */
const MOST = 200;

export interface Happened {
  searches: number;
  hybrid: number;
  lexical: number;
  dense: number;
  degraded: number;
  cached: number;
  empty: number;
  no_good_match: number;
  refused: number;
  turned_away: number;
  calls: number;
  failed_calls: number;
  sent_tokens: number;
  saved_tokens: number;
}

export interface Percentiles {
  p50_us?: number;
  p90_us?: number;
  p99_us?: number;
  max_us?: number;
}

export type Slot = Happened & Percentiles & { at_s: number };

export interface Recent {
  number: number;
  at_ms: number;
  query?: string;
  way: string;
  caller: string;
  profile?: string;
  refused?: boolean;
  took_us?: number;
  mode?: string;
  reason?: string;
  cached?: boolean;
  hits?: number;
  best?: string[];
  no_good_match?: boolean;
}

export interface Missed {
  query: string;
  /** What it was filtered by, as in the address of a search. */
  filter?: string;
  searches: number;
  empty: number;
  last_s: number;
}

export interface Activity {
  now_s: number;
  since_s: number;
  queries: "full" | "redact" | "hash" | "none";
  slot_s: number;
  slots_in_range: number;
  slots: Slot[];
  latency: Percentiles & { error: number; cells: { from_us: number; to_us: number; searches: number }[] };
  per_second: number;
  today: Happened;
  total: Happened;
  reasons: { reason: string; searches: number }[];
  savings: { catalog_tokens: number; tokens_per_byte: number; assumption: string };
  last: number;
  recent: Recent[];
  missed: Missed[];
}

/** What is counted in `range`, kept up to date while the page is seen; `again` asks at once. */
export function useActivity(range: Range) {
  const [data, setData] = useState<Activity>();
  const [error, setError] = useState<ApiError>();
  const [turn, setTurn] = useState(0);
  const known = useRef<{ last: number; recent: Recent[] }>({ last: 0, recent: [] });
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const look = async () => {
      clearTimeout(timer);
      if (document.hidden || abort.signal.aborted) return;
      try {
        const answer = await get<Activity>("/v1/admin/activity", { range, after: known.current.last }, abort.signal);
        if (abort.signal.aborted) return;
        // Another look may have been under way.
        const fresh = answer.recent.filter(({ number }) => number > known.current.last);
        known.current = { last: answer.last, recent: [...fresh, ...known.current.recent].slice(0, MOST) };
        setData({ ...answer, recent: known.current.recent });
        setError(undefined);
      } catch (failed) {
        if (abort.signal.aborted) return;
        const error = asApiError(failed);
        setError(error);
        // Who may not will not be let in by asking on.
        if (error.status >= 400 && error.status < 500 && error.status !== 429) return;
      }
      timer = window.setTimeout(look, EVERY[range]);
    };
    // Nobody looks at a hidden page: the first look after it is at once.
    document.addEventListener("visibilitychange", look);
    look();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [range, turn]);
  return { data, error, again: () => setTurn((turn) => turn + 1) };
}

/** Every slot of the range, oldest first; those in which nothing happened are undefined. */
export function wholeRange(data: Activity): { at: number; slot: Slot | undefined }[] {
  const last = Math.floor(data.now_s / data.slot_s) * data.slot_s;
  const known = new Map(data.slots.map((slot) => [slot.at_s, slot]));
  return Array.from({ length: data.slots_in_range }, (_, at) => {
    const begins = last - (data.slots_in_range - 1 - at) * data.slot_s;
    return { at: begins, slot: known.get(begins) };
  });
}

export function sum(slots: Slot[], of: (slot: Slot) => number): number {
  return slots.reduce((all, slot) => all + of(slot), 0);
}

const shortened = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Of large numbers the first three digits: `12.3K`. */
export function compact(number: number): string {
  return Math.abs(number) < 10_000 ? plain.format(number) : shortened.format(number);
}

export function exact(number: number): string {
  return plain.format(number);
}

export function rate(number: number): string {
  return number === 0 || number >= 100 ? plain.format(number) : number.toPrecision(2).replace(/\.0$/, "");
}

export function duration(us: number | undefined): string {
  if (us === undefined) return "–";
  if (us < 1_000) return `${plain.format(us)} µs`;
  const [number, unit] = us < 1_000_000 ? [us / 1_000, "ms"] : [us / 1_000_000, "s"];
  return `${Number(number.toPrecision(number < 10 ? 2 : 3))} ${unit}`;
}

export function share(part: number, whole: number): string {
  return whole ? `${((100 * part) / whole).toFixed(part && part < whole / 10 ? 1 : 0)} %` : "–";
}

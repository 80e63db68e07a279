// What a search is answered with, and how it is waited for.
import { useEffect, useState } from "preact/hooks";
import { type ApiError, asApiError, get } from "../../api";
import { onBack } from "../../vitals";

export interface Placed {
  rank: number;
  score: number;
}

/** Words as they stand in a tool, by field. */
export type Words = Record<string, string[]>;

export interface Explain {
  exact_name: boolean;
  lexical: Placed | null;
  dense: Placed | null;
  reranked?: Placed;
  boost?: number;
  learned?: { lift: number; evidence: number };
  matched: Words;
  words: Words;
}

/** As a server sent it: what it says beside the name is not checked. */
export interface Definition {
  name: string;
  title?: string;
  description?: string;
  inputSchema?: { properties?: Record<string, unknown> | null };
  annotations?: { title?: string };
}

export interface Hit {
  id: string;
  server: string;
  name: string;
  score: number;
  confidence: number;
  duplicates?: string[];
  pinned?: boolean;
  definition: Definition;
  reduced?: string;
  tokens?: number;
  explain?: Explain;
}

export type Verdict = "returned" | "grouped" | "below_cut" | "beyond_depth" | "pinned" | "filtered" | "unknown_tool" | "server_unavailable" | "held";

export interface Why {
  id: string;
  verdict: Verdict;
  because: string;
  place?: number;
  returned: number;
  under?: string;
  score?: number;
  confidence?: number;
  exact_name: boolean;
  lexical?: Placed;
  dense?: Placed;
  boost?: number;
  learned?: { lift: number; evidence: number };
  terms: { term: string; score: number; fields: Record<string, number> }[];
  words?: Words;
  similar?: string[];
}

export interface Answer {
  generation: number;
  mode: "hybrid" | "lexical" | "dense";
  reason?: string;
  took_us: number;
  /** Absent where the profile has its answers in a format of a host. */
  tools?: Hit[];
  tokens?: { baseline: number; returned: number; budget: number };
  no_good_match: boolean;
  why?: Why;
  stale: { server: string; age_s: number }[];
}

export interface Asking {
  answer?: Answer;
  /** Milliseconds from here to the server and back. */
  trip?: number;
  error?: ApiError;
  isWaiting: boolean;
}

/** Milliseconds after which one that was not ready is asked again. */
const AGAIN = 1_500;

/**
 * The answer to `path`. The last question wins: an earlier one is broken off; what was answered
 * stays until then.
 */
export function useAnswer(path: string | null): Asking & { again: () => void } {
  const [state, setState] = useState<Asking>({ isWaiting: path !== null });
  const [turn, setTurn] = useState(0);
  const again = () => setTurn((turn) => turn + 1);
  useEffect(() => {
    if (path === null) return setState({ isWaiting: false });
    const abort = new AbortController();
    let timer = 0;
    setState((before) => ({ ...before, isWaiting: true }));
    const begun = performance.now();
    get<Answer>(path, undefined, abort.signal)
      .then((answer) => setState({ answer, trip: performance.now() - begun, isWaiting: false }))
      .catch((thrown: unknown) => {
        if (abort.signal.aborted) return;
        const error = asApiError(thrown);
        setState({ error, isWaiting: false });
        if (error.status === 503) timer = window.setTimeout(again, AGAIN);
      });
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, turn]);
  const isGone = state.error?.status === 0;
  useEffect(() => (isGone ? onBack(again) : undefined), [isGone]);
  return { ...state, again };
}

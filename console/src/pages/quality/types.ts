// What the routes below /v1/admin/evals answer, and the words for it.

export type Metric = "R@1" | "R@5" | "R@10" | "N@5" | "N@10" | "MRR" | "C@10" | "H@1" | "H@5";

/** In the order of a report; `toolscout eval` uses the same short names. */
export const METRICS: { name: Metric; title: string; means: string }[] = [
  { name: "R@5", title: "Recall in 5", means: "share of the needed tools among the first 5" },
  { name: "R@1", title: "Recall in 1", means: "share of the needed tools at rank 1" },
  { name: "R@10", title: "Recall in 10", means: "share of the needed tools among the first 10" },
  { name: "N@5", title: "NDCG in 5", means: "gain by rank among the first 5, of the best possible" },
  { name: "N@10", title: "NDCG in 10", means: "gain by rank among the first 10, of the best possible" },
  { name: "MRR", title: "Mean reciprocal rank", means: "1 / rank of the first tool that is needed" },
  { name: "C@10", title: "Complete in 10", means: "share of queries with every needed tool among the first 10" },
  { name: "H@1", title: "Hit at 1", means: "share of queries with a needed tool at rank 1" },
  { name: "H@5", title: "Hit in 5", means: "share of queries with a needed tool among the first 5" },
];

export interface Interval {
  low: number;
  high: number;
}

export interface Group {
  n: number;
  metrics: Record<Metric, number>;
  intervals: Record<Metric, Interval>;
}

export interface Head {
  id: string;
  name: string;
  at: string;
  took_ms: number;
  generation: number;
  tools: number;
  mode: string;
  reason: string | null;
  encoder: string | null;
  reranker: string | null;
  learned: boolean;
  arms: string;
  limit: number | null;
  version: string;
  configuration: string;
  catalog: string;
  file: string;
  queries: number;
  unscored: number;
  failed: number;
  all: Group;
  as_served: { recall: number; complete: number; returned: number; no_good_match: number; no_good_match_of_none?: number };
}

export interface Eval {
  id: string;
  name: string;
  state: "waiting" | "running" | "done" | "failed";
  done: number;
  total: number;
  error?: string;
  head?: Head;
}

export interface Failed {
  id: string;
  query: string;
  category: string | null;
  missed: { tool: string; rank: number | null; known: boolean }[];
  got: string[];
}

export interface Shown extends Eval {
  categories: Record<string, Group>;
  failures: Failed[];
}

export interface Compared {
  baseline: Head;
  run: Head;
  queries: number;
  only_baseline: number;
  only_run: number;
  metrics: { metric: Metric; difference: number; interval: Interval; moved: number; verdict: Verdict }[];
  moved: { id: string; query: string; before: number; after: number }[];
}

export type Verdict = "better" | "worse" | "unclear" | "same";

export interface QueryFile {
  name: string;
  bytes: number;
  demo: boolean;
}

export function share(value: number): string {
  return value.toFixed(3);
}

export function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}

export function took(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function size(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : bytes < 1 << 20 ? `${Math.round(bytes / 1024)} KB` : `${(bytes / (1 << 20)).toFixed(1)} MB`;
}

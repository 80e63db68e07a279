// What the parts of the page have alike: a line with a title and what is done there, and the names of metrics.
import type { ComponentChildren } from "preact";
import { METRICS, type Metric } from "./types";

export function Head({ title, level: Level = "h2", children }: { title: ComponentChildren; level?: "h2" | "h3"; children: ComponentChildren }) {
  return (
    <div class="row q-line-head">
      <Level class="grow q-name">{title}</Level>
      {children}
    </div>
  );
}

/** A metric's name, at the head of its row. */
export function MetricName({ name, title, means }: (typeof METRICS)[number]) {
  return (
    <th scope="row" title={means}>
      {title} <span class="small">{name}</span>
    </th>
  );
}

export function MetricChoice({ metric, choose }: { metric: Metric; choose: (metric: Metric) => void }) {
  return (
    <label class="row small">
      Metric
      <select value={metric} onChange={(event) => choose(event.currentTarget.value as Metric)}>
        {METRICS.map(({ name, title }) => (
          <option key={name} value={name}>
            {title} ({name})
          </option>
        ))}
      </select>
    </label>
  );
}

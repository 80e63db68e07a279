// Drawings of scores from 0 to 1. Each stands beside its numbers, so they are hidden from those who
// listen. Widths are per cent: nothing is measured, and a circle stays round.
import type { Head, Interval, Metric } from "./types";

const per = (value: number) => `${(100 * Math.min(1, Math.max(0, value))).toFixed(2)}%`;

/** A value and its interval: a dot and a whisker. */
export function Whisker({ value, interval }: { value: number; interval: Interval }) {
  return (
    <svg class="q-chart" height="18" aria-hidden="true" focusable="false">
      <line class="q-axis" x1="0" x2="100%" y1="9" y2="9" />
      <Span interval={interval} y={9} />
      <circle class="q-dot" cx={per(value)} cy="9" r="4" />
    </svg>
  );
}

/** The same as a bar from nothing. */
export function Bar({ value, interval }: { value: number; interval: Interval }) {
  return (
    <svg class="q-chart" height="18" aria-hidden="true" focusable="false">
      <rect class="q-ground" x="0" y="3" width="100%" height="12" rx="2" />
      <rect class="q-bar" x="0" y="3" width={per(value)} height="12" rx="2" />
      <Span interval={interval} y={9} />
    </svg>
  );
}

/** A difference and its interval around nothing, which is in the middle; `most` is at the edges. */
export function Change({ value, interval, most }: { value: number; interval: Interval; most: number }) {
  const at = (value: number) => 0.5 + value / (2 * most);
  return (
    <svg class="q-chart" height="18" aria-hidden="true" focusable="false">
      <line class="q-zero" x1="50%" x2="50%" y1="1" y2="17" />
      <Span interval={{ low: at(interval.low), high: at(interval.high) }} y={9} />
      <circle class="q-dot" cx={per(at(value))} cy="9" r="4" />
    </svg>
  );
}

function Span({ interval: { low, high }, y }: { interval: Interval; y: number }) {
  return (
    <>
      <line class="q-span" x1={per(low)} x2={per(high)} y1={y} y2={y} />
      <line class="q-span" x1={per(low)} x2={per(low)} y1={y - 5} y2={y + 5} />
      <line class="q-span" x1={per(high)} x2={per(high)} y1={y - 5} y2={y + 5} />
    </>
  );
}

/** One metric over the runs of one query file, oldest first; the shown one is filled. */
export function Trend({ heads, metric, shown }: { heads: Head[]; metric: Metric; shown: string }) {
  const values = heads.flatMap(({ all }) => [all.intervals[metric].low, all.intervals[metric].high]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max(high - low, 0.02);
  const x = (at: number) => `${(4 + (92 * at) / Math.max(1, heads.length - 1)).toFixed(2)}%`;
  const y = (value: number) => 62 - (54 * (value - low)) / room;
  return (
    <svg class="q-chart q-trend" height="70" aria-hidden="true" focusable="false">
      {heads.map(({ id, all }, at) => {
        const next = heads[at + 1];
        return (
          <g key={id}>
            <line class="q-span" x1={x(at)} x2={x(at)} y1={y(all.intervals[metric].low)} y2={y(all.intervals[metric].high)} />
            {next && <line class="q-line" x1={x(at)} x2={x(at + 1)} y1={y(all.metrics[metric])} y2={y(next.all.metrics[metric])} />}
            <circle class={id === shown ? "q-dot" : "q-dot q-hollow"} cx={x(at)} cy={y(all.metrics[metric])} r="4" />
          </g>
        );
      })}
    </svg>
  );
}

// How long searches took, on a logarithmic scale, with the percentiles marked.
import { Heads } from "../../parts/heads";
import { type Activity, compact, duration, exact, share } from "./data";
import { Drawing, Figure, HEIGHT, heights, ticks, useWidth } from "./figure";

const PAD = { left: 62, right: 14, top: 22, bottom: 22 };
/** Bars for ten times as long. */
const BARS = 12;
/** Microseconds: nothing is told apart below. */
const LEAST = 1;

interface Bar {
  /** Which twelfth of which power of ten. */
  at: number;
  from: number;
  to: number;
  searches: number;
}

function barsOf(data: Activity): Bar[] {
  const bars = new Map<number, Bar>();
  for (const { from_us, to_us, searches } of data.latency.cells) {
    const middle = Math.max(LEAST, (from_us + to_us) / 2);
    const at = Math.floor(Math.log10(middle) * BARS);
    const bar = bars.get(at) ?? { at, from: from_us, to: to_us, searches: 0 };
    bar.searches += searches;
    bar.to = to_us;
    bars.set(at, bar);
  }
  return [...bars.values()].sort((a, b) => a.at - b.at);
}

export function Histogram({ data }: { data: Activity }) {
  const { place, width } = useWidth();
  const bars = barsOf(data);
  const all = bars.reduce((all, bar) => all + bar.searches, 0);
  const { p50_us, p90_us, p99_us, max_us, error } = data.latency;
  const first = Math.floor((bars[0]?.at ?? 2 * BARS) / BARS);
  const last = Math.max(first + 1, Math.ceil(((bars[bars.length - 1]?.at ?? 4 * BARS) + 1) / BARS));
  const inner = Math.max(1, width - PAD.left - PAD.right);
  const x = (us: number) => PAD.left + (inner * (Math.log10(Math.max(LEAST, us)) - first)) / (last - first);
  const marks = ticks(Math.max(1, ...bars.map((bar) => bar.searches))).filter(Number.isInteger);
  const y = heights(marks, PAD);
  const percentiles = [
    { name: "p50", us: p50_us },
    { name: "p90", us: p90_us },
    { name: "p99", us: p99_us },
  ];
  const text = `${exact(all)} searches; ${percentiles.map(({ name, us }) => `${name} ${duration(us)}`).join(", ")}, the longest ${duration(max_us)}`;
  // Where two lie close the earlier one's name stands aside.
  let free = width - PAD.right;
  const labels = percentiles
    .filter(({ us }) => us !== undefined)
    .reverse()
    .map(({ name, us = LEAST }) => {
      const at = Math.min(x(us), free - 12);
      free = at - 16;
      return { name, at, line: x(us) };
    });
  const table = () => (
    <table>
      <Heads columns={["Took", ["Searches", "number"], ["Share", "number"]]} />
      <tbody>
        {bars.map((bar) => (
          <tr key={bar.at}>
            <th scope="row">
              {duration(bar.from)} to {duration(bar.to)}
            </th>
            <td class="number">{exact(bar.searches)}</td>
            <td class="number">{share(bar.searches, all)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
  return (
    <Figure title="How long searches took" note={`${text}. Each to within ${(100 * error).toFixed(0)} %.`} table={table}>
      <div ref={place} class="plot" role="img" aria-label={text}>
        {width > 0 && (
          <Drawing {...{ width, pad: PAD, marks, y }} textOf={compact}>
            {Array.from({ length: last - first + 1 }, (_, at) => 10 ** (first + at)).map((us, at) => (
              <text key={us} x={x(us)} y={HEIGHT - 5} text-anchor={at === last - first ? "end" : "middle"}>
                {us < 1_000 ? `${us} µs` : us < 1_000_000 ? `${us / 1_000} ms` : `${us / 1_000_000} s`}
              </text>
            ))}
            {bars.map((bar) => {
              const left = PAD.left + (inner * (bar.at / BARS - first)) / (last - first);
              return <rect key={bar.at} class="bar-1" x={left + 0.5} width={Math.max(1, inner / (last - first) / BARS - 1)} y={y(bar.searches)} height={y(0) - y(bar.searches)} />;
            })}
            {labels.map(({ name, at, line }) => (
              <g key={name}>
                <line class="mark" x1={line} x2={line} y1={PAD.top - 4} y2={HEIGHT - PAD.bottom} />
                <text x={at} y={PAD.top - 8} text-anchor="middle">
                  {name}
                </text>
              </g>
            ))}
          </Drawing>
        )}
      </div>
    </Figure>
  );
}

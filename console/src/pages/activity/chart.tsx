// A chart over time: lines, or bars that stand on each other. A pointer or the arrow keys read its
// values, which also stand in a table.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type Column, Heads } from "../../parts/heads";
import { Drawing, Figure, HEIGHT, heights, ticks, useWidth } from "./figure";

export interface Series {
  name: string;
  /** One for each time; null where there is nothing to tell. */
  values: (number | null)[];
}

interface Props {
  title: string;
  /** What is told beside the title. */
  note?: ComponentChildren;
  times: number[];
  /** A time, in words. */
  timeOf: (time: number) => string;
  series: Series[];
  /** A value with its unit. */
  valueOf: (value: number) => string;
  kind: "lines" | "bars";
}

const PAD = { left: 62, right: 8, top: 8, bottom: 22 };

export function Chart({ title, note, times, timeOf, series, valueOf, kind }: Props) {
  const { place, width } = useWidth();
  const [chosen, setChosen] = useState<number>();
  const last = times.length - 1;
  const at = chosen === undefined ? undefined : Math.min(chosen, last);
  const totals = times.map((_, time) => series.reduce((all, one) => all + (one.values[time] ?? 0), 0));
  const most = kind === "bars" ? Math.max(...totals) : Math.max(...series.flatMap((one) => one.values.map((value) => value ?? 0)));
  const marks = ticks(most);
  const inner = Math.max(1, width - PAD.left - PAD.right);
  const x = (time: number) => PAD.left + (inner * (time + 0.5)) / times.length;
  const y = heights(marks, PAD);
  const told = (time: number) => series.map((one) => `${one.name} ${one.values[time] == null ? "none" : valueOf(one.values[time] ?? 0)}`).join(", ");
  const onKeyDown = (event: KeyboardEvent) => {
    const from = at ?? last + 1;
    const to = { ArrowLeft: from - 1, ArrowRight: (at ?? last) + 1, PageUp: from - 10, PageDown: (at ?? last) + 10, Home: 0, End: last }[event.key];
    if (event.key === "Escape") setChosen(undefined);
    if (to === undefined) return;
    event.preventDefault();
    setChosen(Math.max(0, Math.min(last, to)));
  };
  const onPointer = (event: PointerEvent) => {
    const box = place.current?.getBoundingClientRect();
    if (box) setChosen(Math.max(0, Math.min(last, Math.floor(((event.clientX - box.left - PAD.left) / inner) * times.length))));
  };
  return (
    <Figure title={title} note={note} table={() => <Values {...{ times, timeOf, series, valueOf }} />}>
      <p class="legend small">
        {series.map((one, number) => (
          <span key={one.name}>
            <svg width="18" height="10" aria-hidden="true">
              {kind === "lines" ? <line x1="0" x2="18" y1="5" y2="5" class={`line line-${number + 1}`} /> : <rect width="12" height="10" x="3" class={`bar-${number + 1}`} />}
            </svg>
            {one.name}
            {at !== undefined && <b>{one.values[at] == null ? "–" : valueOf(one.values[at] ?? 0)}</b>}
          </span>
        ))}
        <span class="when">{at === undefined ? "" : timeOf(times[at] ?? 0)}</span>
      </p>
      <div
        ref={place}
        class="plot"
        role="slider"
        tabIndex={0}
        aria-label={`${title}: values by time, with the arrow keys`}
        aria-valuemin={0}
        aria-valuemax={last}
        aria-valuenow={at ?? last}
        aria-valuetext={`${timeOf(times[at ?? last] ?? 0)}: ${told(at ?? last)}`}
        onKeyDown={onKeyDown}
        onPointerMove={onPointer}
        onPointerDown={onPointer}
        onPointerLeave={() => setChosen(undefined)}
        onBlur={() => setChosen(undefined)}
      >
        {width > 0 && (
          <Drawing {...{ width, pad: PAD, marks, y }} textOf={valueOf}>
            <TimeMarks {...{ times, timeOf, x, width }} />
            {kind === "bars" ? <Bars {...{ series, x, y, step: inner / times.length }} /> : <Lines {...{ series, x, y }} />}
            {at !== undefined && <line class="cursor" x1={x(at)} x2={x(at)} y1={PAD.top} y2={HEIGHT - PAD.bottom} />}
          </Drawing>
        )}
      </div>
    </Figure>
  );
}

function TimeMarks({ times, timeOf, x, width }: { times: number[]; timeOf: (time: number) => string; x: (time: number) => number; width: number }) {
  const places = width < 480 ? [0, times.length - 1] : [0, Math.floor((times.length - 1) / 2), times.length - 1];
  return (
    <>
      {places.map((place, number) => (
        <text key={place} x={number === 0 ? PAD.left : x(place)} y={HEIGHT - 5} text-anchor={number === 0 ? "start" : number === places.length - 1 ? "end" : "middle"}>
          {timeOf(times[place] ?? 0)}
        </text>
      ))}
    </>
  );
}

interface Drawn {
  series: Series[];
  x: (time: number) => number;
  y: (value: number) => number;
}

/** Lines, interrupted where there is nothing; a point that stands alone is a dot. */
function Lines({ series, x, y }: Drawn) {
  return (
    <>
      {series.map(({ name, values }, number) => {
        let path = "";
        let dots = "";
        values.forEach((value, time) => {
          if (value === null) return;
          const isAfter = values[time - 1] != null;
          path += `${isAfter ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
          if (!isAfter && values[time + 1] == null) dots += `M${(x(time) - 2).toFixed(1)} ${y(value).toFixed(1)}h4`;
        });
        return (
          <g key={name}>
            <path class={`line line-${number + 1}`} d={path} />
            <path class={`dot line-${number + 1}`} d={dots} />
          </g>
        );
      })}
    </>
  );
}

function Bars({ series, x, y, step }: Drawn & { step: number }) {
  const base = series[0]?.values.map(() => 0) ?? [];
  const wide = Math.max(1, step > 4 ? step - 1 : step);
  return (
    <>
      {series.map(({ name, values }, number) => {
        let path = "";
        values.forEach((value, time) => {
          if (!value) return;
          const from = base[time] ?? 0;
          base[time] = from + value;
          const top = y(from + value);
          path += `M${(x(time) - wide / 2).toFixed(1)} ${top.toFixed(1)}h${wide.toFixed(1)}V${y(from).toFixed(1)}h-${wide.toFixed(1)}z`;
        });
        return <path key={name} class={`bar-${number + 1}`} d={path} />;
      })}
    </>
  );
}

/** Newest first; times at which there is nothing are left out. */
function Values({ times, timeOf, series, valueOf }: Pick<Props, "times" | "timeOf" | "series" | "valueOf">) {
  const rows = times.map((time, at) => ({ time, at })).filter(({ at }) => series.some((one) => one.values[at]));
  return (
    <table>
      <Heads columns={["Time", ...series.map(({ name }): Column => [name, "number"])]} />
      <tbody>
        {rows.reverse().map(({ time, at }) => (
          <tr key={time}>
            <th scope="row">{timeOf(time)}</th>
            {series.map((one) => (
              <td key={one.name} class="number">
                {one.values[at] == null ? "–" : valueOf(one.values[at] ?? 0)}
              </td>
            ))}
          </tr>
        ))}
        {rows.length === 0 && (
          <tr>
            <td colSpan={series.length + 1}>Nothing in this time</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

// The points of the picture: typed arrays, and a grid that finds the point under a pointer.
import type { MapAnswer } from "./answer";

/** Servers that have a colour of their own; the rest share one. */
export const COLOURED = 8;
/** Points in a cell of the grid, about. */
const IN_CELL = 4;

export interface ServerOnMap {
  id: string;
  tools: number;
  /** Its place among the coloured; COLOURED is the colour of the rest. */
  colour: number;
}

export interface Group {
  members: number[];
  x: number;
  y: number;
  /** Of the circle around all. */
  radius: number;
}

export interface Box {
  left: number;
  right: number;
  bottom: number;
  top: number;
}

export class Cloud {
  readonly count: number;
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly server: Uint32Array;
  /** Those that have most tools first. */
  readonly servers: ServerOnMap[];
  readonly groups: Group[];
  readonly box: Box;
  /** All points, those of a colour together. */
  readonly order: Uint32Array;
  /** Where each colour begins in `order`; the last is its end. */
  readonly starts: Uint32Array;
  private readonly places = new Map<string, number>();
  private readonly cell: number;
  private readonly columns: number;
  private readonly cells: Uint32Array;
  private readonly cellStarts: Uint32Array;

  constructor(readonly answer: MapAnswer) {
    this.count = answer.x.length;
    this.x = Float32Array.from(answer.x);
    this.y = Float32Array.from(answer.y);
    this.server = Uint32Array.from(answer.server);
    this.box = boxOf(this.x, this.y);
    const tools = new Uint32Array(answer.servers.length);
    for (const server of this.server) tools[server]!++;
    const ranked = answer.servers.map((id, at) => ({ id, at, tools: tools[at]! })).sort((a, b) => b.tools - a.tools || a.at - b.at);
    const colours = new Uint8Array(answer.servers.length).fill(COLOURED);
    ranked.slice(0, COLOURED).forEach(({ at }, colour) => (colours[at] = colour));
    this.servers = ranked.map(({ id, at, tools }) => ({ id, tools, colour: colours[at]! }));
    // The grey ones first, so that the others lie over them.
    const buckets = sorted(this.count, COLOURED + 1, (point) => COLOURED - colours[this.server[point]!]!);
    this.order = buckets.order;
    this.starts = buckets.starts;
    this.groups = answer.groups.map((members) => this.group(members));
    for (let point = 0; point < this.count; point++) this.places.set(this.id(point), point);

    const { left, right, bottom, top } = this.box;
    const area = Math.max(1, right - left) * Math.max(1, top - bottom);
    this.cell = Math.max(1, Math.sqrt((area * IN_CELL) / Math.max(1, this.count)), (right - left) / 1000, (top - bottom) / 1000);
    this.columns = Math.floor((right - left) / this.cell) + 1;
    const rows = Math.floor((top - bottom) / this.cell) + 1;
    const grid = sorted(this.count, this.columns * rows, (point) => this.cellOf(this.x[point]!, this.y[point]!));
    this.cells = grid.order;
    this.cellStarts = grid.starts;
  }

  id(point: number): string {
    return `${this.serverOf(point)}/${this.answer.name[point]}`;
  }

  serverOf(point: number): string {
    return this.answer.servers[this.server[point]!]!;
  }

  at(id: string): number | undefined {
    return this.places.get(id);
  }

  /** The point nearest to a place, no farther than `within`, among those that `keep` lets through. */
  nearest(x: number, y: number, within: number, keep: (point: number) => boolean): number | undefined {
    let [best, far] = [undefined as number | undefined, within * within];
    const { left, bottom } = this.box;
    const column = (x: number) => Math.floor((x - left) / this.cell);
    const row = (y: number) => Math.floor((y - bottom) / this.cell);
    const rows = Math.floor(this.cellStarts.length / this.columns);
    for (let r = Math.max(0, row(y - within)); r <= Math.min(rows - 1, row(y + within)); r++) {
      for (let c = Math.max(0, column(x - within)); c <= Math.min(this.columns - 1, column(x + within)); c++) {
        const cell = r * this.columns + c;
        for (let at = this.cellStarts[cell]!; at < this.cellStarts[cell + 1]!; at++) {
          const point = this.cells[at]!;
          const away = (this.x[point]! - x) ** 2 + (this.y[point]! - y) ** 2;
          if (away <= far && keep(point)) [best, far] = [point, away];
        }
      }
    }
    return best;
  }

  boxAround(points: number[]): Box {
    return boxOf(
      points.map((point) => this.x[point]!),
      points.map((point) => this.y[point]!),
    );
  }

  private cellOf(x: number, y: number): number {
    return Math.floor((y - this.box.bottom) / this.cell) * this.columns + Math.floor((x - this.box.left) / this.cell);
  }

  private group(members: number[]): Group {
    const box = this.boxAround(members);
    const [x, y] = [(box.left + box.right) / 2, (box.bottom + box.top) / 2];
    const radius = Math.max(...members.map((point) => Math.hypot(this.x[point]! - x, this.y[point]! - y)));
    return { members, x, y, radius };
  }
}

function boxOf(xs: ArrayLike<number>, ys: ArrayLike<number>): Box {
  const box = { left: Infinity, right: -Infinity, bottom: Infinity, top: -Infinity };
  for (let at = 0; at < xs.length; at++) {
    box.left = Math.min(box.left, xs[at]!);
    box.right = Math.max(box.right, xs[at]!);
    box.bottom = Math.min(box.bottom, ys[at]!);
    box.top = Math.max(box.top, ys[at]!);
  }
  return xs.length ? box : { left: -1, right: 1, bottom: -1, top: 1 };
}

/** What has the numbers 0 to `count`, in the order of their buckets, and where each bucket begins. */
function sorted(count: number, buckets: number, bucketOf: (at: number) => number) {
  const starts = new Uint32Array(buckets + 1);
  for (let at = 0; at < count; at++) starts[bucketOf(at) + 1]!++;
  for (let bucket = 0; bucket < buckets; bucket++) starts[bucket + 1]! += starts[bucket]!;
  const next = starts.slice();
  const order = new Uint32Array(count);
  for (let at = 0; at < count; at++) order[next[bucketOf(at)]!++] = at;
  return { order, starts };
}

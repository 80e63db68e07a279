// Draws the picture on a canvas, all of it each time: tens of thousands of points are a few
// milliseconds when those of a colour are drawn together.
import { type Camera, type Size, toScreen } from "./camera";
import { COLOURED, type Cloud } from "./cloud";

export interface Scene {
  cloud: Cloud;
  /** By the place of a server: 1 where its tools are shown. */
  shown: Uint8Array;
  rings: boolean;
  /** Members of the group that is looked at. */
  group: number[];
  selected: number | undefined;
  hovered: number | undefined;
  /** Points of the hits, by rank; those without a place are left out. */
  hits: { rank: number; point: number }[];
  /** Where the query stands. */
  query: [number, number] | null;
  /** A cross in the middle, for the keyboard. */
  cross: boolean;
}

export interface Palette {
  colours: string[];
  ground: string;
  line: string;
  text: string;
  soft: string;
  accent: string;
  ring: string;
}

/** The colours of the theme that is on now, each as `#rrggbb`: a canvas writes them so. */
export function paletteOf(canvas: HTMLCanvasElement): Palette {
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const colour = (name: string) => {
    if (!context) return "#000000";
    // As the colour of an element: what a variable holds need not be one colour for both themes.
    canvas.style.color = `var(${name})`;
    context.fillStyle = style.color;
    return context.fillStyle;
  };
  const colours = Array.from({ length: COLOURED + 1 }, (_, at) => colour(at < COLOURED ? `--map-${at + 1}` : "--map-rest"));
  return { colours, ground: colour("--ground"), line: colour("--line"), text: colour("--text"), soft: colour("--soft"), accent: colour("--accent"), ring: colour("--map-ring") };
}

export function paint(context: CanvasRenderingContext2D, scene: Scene, camera: Camera, size: Size, ratio: number, palette: Palette) {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = palette.ground;
  context.fillRect(0, 0, size.width, size.height);
  paintPoints(context, scene, camera, size, ratio, palette);
  // Beside hits they are too much.
  if (scene.rings && scene.hits.length === 0) paintRings(context, scene, camera, size, palette);
  context.globalAlpha = 1;
  for (const point of scene.group) ring(context, at(scene, camera, size, point), 8, palette.ring, 2);
  paintHits(context, scene, camera, size, palette);
  if (scene.hovered !== undefined) ring(context, at(scene, camera, size, scene.hovered), 7, palette.text, 1.5);
  if (scene.selected !== undefined) {
    ring(context, at(scene, camera, size, scene.selected), 9, palette.ground, 5);
    ring(context, at(scene, camera, size, scene.selected), 9, palette.accent, 2.5);
  }
  if (scene.cross) paintCross(context, size, palette);
}

function paintPoints(context: CanvasRenderingContext2D, scene: Scene, camera: Camera, size: Size, ratio: number, palette: Palette) {
  const { cloud, shown, hits } = scene;
  const { x, y, server, order, starts } = cloud;
  // Larger where there are few of them, and from near.
  const least = cloud.count > 3000 ? 1.2 : cloud.count > 600 ? 2.5 : 3.5;
  const radius = Math.min(6, Math.max(least, 5 * Math.sqrt(camera.scale)));
  const strength = hits.length ? 0.35 : 0.85;
  const [left, top] = [size.width / 2 - camera.x * camera.scale, size.height / 2 + camera.y * camera.scale];
  const raster = radius < 2 ? new Raster(context, palette.ground) : undefined;
  context.globalAlpha = strength;
  for (let bucket = 0; bucket < starts.length - 1; bucket++) {
    const colour = palette.colours[COLOURED - bucket]!;
    const pixel = raster && between(palette.ground, colour, strength);
    context.fillStyle = colour;
    context.beginPath();
    for (let at = starts[bucket]!; at < starts[bucket + 1]!; at++) {
      const point = order[at]!;
      const px = left + x[point]! * camera.scale;
      const py = top - y[point]! * camera.scale;
      if (px < -radius || py < -radius || px > size.width + radius || py > size.height + radius || !shown[server[point]!]) continue;
      if (raster) {
        raster.square(px * ratio, py * ratio, radius * ratio, pixel!);
      } else {
        context.moveTo(px + radius, py);
        context.arc(px, py, radius, 0, 7);
      }
    }
    if (!raster) context.fill();
  }
  raster?.put();
}

/** The pixels themselves, for tens of thousands of small squares: a path of those takes far longer. */
class Raster {
  private static image: ImageData | undefined;
  private readonly image: ImageData;
  private readonly pixels: Uint32Array;

  constructor(
    private readonly context: CanvasRenderingContext2D,
    ground: string,
  ) {
    const { width, height } = context.canvas;
    const kept = Raster.image;
    this.image = kept?.width === width && kept.height === height ? kept : context.createImageData(width, height);
    Raster.image = this.image;
    this.pixels = new Uint32Array(this.image.data.buffer).fill(between(ground, ground, 1));
  }

  square(px: number, py: number, radius: number, pixel: number) {
    const { width, height } = this.image;
    const side = Math.max(2, Math.round(2 * radius));
    const [left, top] = [Math.round(px - side / 2), Math.round(py - side / 2)];
    const [from, to] = [Math.max(0, left), Math.min(width, left + side)];
    for (let row = Math.max(0, top); row < Math.min(height, top + side); row++) this.pixels.fill(pixel, row * width + from, row * width + to);
  }

  put() {
    this.context.putImageData(this.image, 0, 0);
  }
}

/** A colour (`#rrggbb`) over another, as a pixel: bytes of red, green, blue and alpha as they lie in memory. */
function between(under: string, over: string, strength: number): number {
  const part = (colour: string, at: number) => Number.parseInt(colour.slice(at, at + 2), 16);
  const mixed = [1, 3, 5].map((at) => Math.round(part(under, at) * (1 - strength) + part(over, at) * strength));
  return new Uint32Array(Uint8Array.from([...mixed, 255]).buffer)[0]!;
}

/** So many hits have their rank beside them; more would hide each other. */
const LABELLED = 10;
/** So many groups are many, … */
const MANY = 300;
/** … and this scale is near. */
const NEAR = 0.3;

/** A circle around each group whose tools lie together, and around each tool of one that lies apart. */
function paintRings(context: CanvasRenderingContext2D, { cloud, shown }: Scene, camera: Camera, size: Size, palette: Palette) {
  context.globalAlpha = 0.7;
  context.strokeStyle = palette.ring;
  context.lineWidth = 1;
  context.beginPath();
  // Of very many, pairs are seen from near alone.
  const fewest = cloud.groups.length > MANY && camera.scale < NEAR ? 3 : 2;
  for (const group of cloud.groups) {
    if (group.members.length < fewest) break;
    const radius = group.radius * camera.scale;
    const seen = group.members.filter((point) => shown[cloud.server[point]!]);
    if (seen.length < 2) continue;
    if (radius < 40) {
      circle(context, toScreen(camera, group.x, group.y, size), radius + 5, size);
    } else {
      for (const point of seen) circle(context, toScreen(camera, cloud.x[point]!, cloud.y[point]!, size), 5, size);
    }
  }
  context.stroke();
}

function circle(context: CanvasRenderingContext2D, [px, py]: [number, number], radius: number, size: Size) {
  if (px < -radius || py < -radius || px > size.width + radius || py > size.height + radius) return;
  context.moveTo(px + radius, py);
  context.arc(px, py, radius, 0, 7);
}

function paintHits(context: CanvasRenderingContext2D, scene: Scene, camera: Camera, size: Size, palette: Palette) {
  const { hits, query, cloud } = scene;
  const places = hits.map(({ rank, point }) => ({ rank, colour: palette.colours[cloud.servers.find(({ id }) => id === cloud.serverOf(point))?.colour ?? COLOURED]!, at: at(scene, camera, size, point) }));
  if (query) {
    const [qx, qy] = toScreen(camera, ...query, size);
    context.strokeStyle = palette.text;
    context.lineWidth = 1;
    context.globalAlpha = 0.45;
    context.beginPath();
    for (const { at } of places) {
      context.moveTo(qx, qy);
      context.lineTo(...at);
    }
    context.stroke();
  }
  context.globalAlpha = 1;
  context.font = "600 12px system-ui, sans-serif";
  context.textBaseline = "middle";
  // The best last, so that it lies over the others.
  for (const { rank, colour, at } of places.reverse()) {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(...at, 5.5, 0, 7);
    context.fill();
    ring(context, at, 6, palette.text, 1.5);
    if (rank <= LABELLED) label(context, String(rank), at[0] + 9, at[1] - 8, palette);
  }
  if (query) {
    const [qx, qy] = toScreen(camera, ...query, size);
    context.beginPath();
    context.moveTo(qx, qy - 9);
    context.lineTo(qx + 9, qy);
    context.lineTo(qx, qy + 9);
    context.lineTo(qx - 9, qy);
    context.closePath();
    context.fillStyle = palette.accent;
    context.fill();
    context.strokeStyle = palette.ground;
    context.lineWidth = 2;
    context.stroke();
  }
}

function label(context: CanvasRenderingContext2D, text: string, px: number, py: number, palette: Palette) {
  context.strokeStyle = palette.ground;
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeText(text, px, py);
  context.fillStyle = palette.text;
  context.fillText(text, px, py);
}

function ring(context: CanvasRenderingContext2D, at: [number, number], radius: number, colour: string, width: number) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.arc(...at, radius, 0, 7);
  context.stroke();
}

function paintCross(context: CanvasRenderingContext2D, { width, height }: Size, palette: Palette) {
  context.strokeStyle = palette.text;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(width / 2 - 8, height / 2);
  context.lineTo(width / 2 + 8, height / 2);
  context.moveTo(width / 2, height / 2 - 8);
  context.lineTo(width / 2, height / 2 + 8);
  context.stroke();
}

function at({ cloud }: Scene, camera: Camera, size: Size, point: number): [number, number] {
  return toScreen(camera, cloud.x[point]!, cloud.y[point]!, size);
}

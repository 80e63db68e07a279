// The canvas: what moves it (pointer, wheel, fingers, keys), and what lies under the pointer.
import type { Ref } from "preact";
import { useEffect, useImperativeHandle, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Camera, fit, pan, type Size, toPlane, toScreen, zoom } from "./camera";
import type { Box } from "./cloud";
import { type Palette, paint, paletteOf, type Scene } from "./paint";

/** How far beside a point a pointer may be, in pixels; a finger is thicker. */
const REACH = { mouse: 10, touch: 24 };
const STEP = 60;
const FACTOR = 1.4;

export interface MapHandle {
  show: (box: Box) => void;
  showPoint: (point: number) => void;
  showAll: () => void;
}

interface Props {
  scene: Omit<Scene, "hovered" | "cross">;
  label: string;
  select: (point: number | undefined) => void;
  /** To the next hit, or the one before. */
  walk: (by: 1 | -1) => void;
  handle: Ref<MapHandle>;
}

export function MapCanvas({ scene, label, select, walk, handle }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  const [camera, setCamera] = useState<Camera>();
  const [hovered, setHovered] = useState<number>();
  const [hasFocus, setFocus] = useState(false);
  const palette = usePalette(canvas);
  const { cloud } = scene;
  const all = fit(cloud.box, size);
  const seen = camera ?? all;
  const least = Math.min(all.scale / 2, 1);
  const isShown = (point: number) => scene.shown[cloud.server[point]!] === 1;
  const under = (px: number, py: number, reach: number) => cloud.nearest(...toPlane(seen, px, py, size), reach / seen.scale, isShown);
  const zoomBy = (by: number, px = size.width / 2, py = size.height / 2) => setCamera((camera) => zoom(camera ?? all, by, px, py, size, least));
  const panBy = (dx: number, dy: number) => setCamera((camera) => pan(camera ?? all, dx, dy));

  useImperativeHandle(handle, () => ({
    show: (box) => setCamera(fit(box, size)),
    showPoint: (point) => setCamera((camera) => ({ scale: (camera ?? all).scale, x: cloud.x[point]!, y: cloud.y[point]! })),
    showAll: () => setCamera(undefined),
  }));

  useLayoutEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setSize({ width: element.clientWidth, height: element.clientHeight }));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  // Not by an attribute: those listeners may not keep the page from scrolling.
  const onWheel = useRef((_: WheelEvent) => {});
  onWheel.current = (event) => {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 20 : 1);
    zoomBy(Math.exp(-Math.max(-200, Math.min(200, pixels)) / 300), event.offsetX, event.offsetY);
  };
  useEffect(() => {
    const wheel = (event: WheelEvent) => onWheel.current(event);
    const element = canvas.current;
    element?.addEventListener("wheel", wheel, { passive: false });
    return () => element?.removeEventListener("wheel", wheel);
  }, []);

  // Once a frame at most, what there is by then.
  const isDue = useRef(false);
  const draw = useRef(() => {});
  draw.current = () => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context || !palette || size.width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
    if (element.width !== width) element.width = width;
    if (element.height !== height) element.height = height;
    paint(context, { ...scene, hovered, cross: hasFocus }, seen, size, ratio, palette);
    // For tests: what is painted is in no element.
    element.dataset.paints = String(Number(element.dataset.paints ?? 0) + 1);
  };
  useLayoutEffect(() => {
    if (isDue.current) return;
    isDue.current = true;
    requestAnimationFrame(() => {
      isDue.current = false;
      draw.current();
    });
  });

  const pointers = usePointers({
    pan: panBy,
    zoom: zoomBy,
    tap: (px, py, touch) => select(under(px, py, touch ? REACH.touch : REACH.mouse)),
  });

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const keys: Record<string, () => void> = {
      ArrowLeft: () => panBy(STEP, 0),
      ArrowRight: () => panBy(-STEP, 0),
      ArrowUp: () => panBy(0, STEP),
      ArrowDown: () => panBy(0, -STEP),
      "+": () => zoomBy(FACTOR),
      "=": () => zoomBy(FACTOR),
      "-": () => zoomBy(1 / FACTOR),
      "0": () => setCamera(undefined),
      Enter: () => select(under(size.width / 2, size.height / 2, Math.hypot(size.width, size.height) / 2)),
      Escape: () => select(undefined),
      n: () => walk(1),
      p: () => walk(-1),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };

  const tip = hovered === undefined || hovered >= cloud.count ? undefined : hovered;
  const [tipX, tipY] = tip === undefined ? [0, 0] : toScreen(seen, cloud.x[tip]!, cloud.y[tip]!, size);
  return (
    <div class="map-frame">
      <canvas
        ref={canvas}
        class={hovered === undefined ? "map-canvas" : "map-canvas over"}
        // biome-ignore lint: it is moved by keys as a map is
        role="application"
        tabIndex={0}
        aria-label={label}
        aria-describedby="map-keys"
        onKeyDown={onKeyDown}
        onFocus={(event) => setFocus((event.target as Element).matches(":focus-visible"))}
        onBlur={() => setFocus(false)}
        onPointerMove={(event) => {
          if (!pointers.move(event) && event.pointerType === "mouse") setHovered(under(event.offsetX, event.offsetY, REACH.mouse));
        }}
        onPointerDown={(event) => {
          setHovered(undefined);
          pointers.down(event);
        }}
        onPointerUp={(event) => pointers.up(event)}
        onPointerCancel={(event) => pointers.cancel(event)}
        onPointerLeave={() => setHovered(undefined)}
      />
      {tip !== undefined && (
        <div class="map-tip" style={{ left: `${Math.min(Math.max(tipX, 90), size.width - 90)}px`, top: `${tipY}px` }} data-below={tipY < 70}>
          <strong>{cloud.answer.name[tip]}</strong>
          <br />
          {cloud.serverOf(tip)}
        </div>
      )}
      <div class="map-buttons">
        <button type="button" aria-label="Zoom in" title="Zoom in (+)" onClick={() => zoomBy(FACTOR)}>
          +
        </button>
        <button type="button" aria-label="Zoom out" title="Zoom out (-)" onClick={() => zoomBy(1 / FACTOR)}>
          −
        </button>
        <button type="button" aria-label="Show the whole map" title="Show the whole map (0)" onClick={() => setCamera(undefined)}>
          ⤢
        </button>
      </div>
    </div>
  );
}

/** The colours of the theme, read anew when it changes. */
function usePalette(canvas: { current: HTMLCanvasElement | null }): Palette | undefined {
  const [palette, setPalette] = useState<Palette>();
  useLayoutEffect(() => {
    const read = () => canvas.current && setPalette(paletteOf(canvas.current));
    read();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", read);
    const observer = new MutationObserver(read);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      dark.removeEventListener("change", read);
      observer.disconnect();
    };
  }, []);
  return palette;
}

interface Moves {
  pan: (dx: number, dy: number) => void;
  zoom: (by: number, px: number, py: number) => void;
  tap: (px: number, py: number, touch: boolean) => void;
}

/** One pointer pans, two pinch, one that did not move taps. */
function usePointers(moves: Moves) {
  const held = useRef(new Map<number, { x: number; y: number }>());
  const moved = useRef(0);
  return {
    down(event: PointerEvent) {
      if (event.button !== 0) return;
      (event.target as Element).setPointerCapture(event.pointerId);
      if (held.current.size === 0) moved.current = 0;
      held.current.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    },
    /** Whether it moved the picture. */
    move(event: PointerEvent): boolean {
      const before = held.current.get(event.pointerId);
      if (!before) return false;
      const now = { x: event.offsetX, y: event.offsetY };
      const other = [...held.current].find(([id]) => id !== event.pointerId)?.[1];
      held.current.set(event.pointerId, now);
      moved.current += Math.hypot(now.x - before.x, now.y - before.y);
      if (other) {
        const spread = (one: { x: number; y: number }) => Math.max(1, Math.hypot(one.x - other.x, one.y - other.y));
        moves.zoom(spread(now) / spread(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
        moves.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
      } else if (moved.current > 4) {
        moves.pan(now.x - before.x, now.y - before.y);
      }
      return true;
    },
    up(event: PointerEvent) {
      const isLast = held.current.delete(event.pointerId) && held.current.size === 0;
      if (isLast && moved.current <= 4) moves.tap(event.offsetX, event.offsetY, event.pointerType !== "mouse");
    },
    cancel(event: PointerEvent) {
      held.current.delete(event.pointerId);
    },
  };
}

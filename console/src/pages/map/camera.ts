// Which part of the picture is seen: its centre, and how many pixels a step is.
import type { Box } from "./cloud";

const MARGIN = 32;
/** Nobody has to look at a single point from nearer. */
const NEAREST = 4;

export interface Camera {
  x: number;
  y: number;
  scale: number;
}

export interface Size {
  width: number;
  height: number;
}

/** Shows all of `box`. */
export function fit(box: Box, { width, height }: Size): Camera {
  const wide = Math.max(1, width - 2 * MARGIN) / Math.max(1, box.right - box.left);
  const high = Math.max(1, height - 2 * MARGIN) / Math.max(1, box.top - box.bottom);
  return { x: (box.left + box.right) / 2, y: (box.bottom + box.top) / 2, scale: Math.min(wide, high, NEAREST) };
}

/** Another scale, with what lies under the pixel (`px`, `py`) staying there. */
export function zoom(camera: Camera, by: number, px: number, py: number, size: Size, least: number): Camera {
  const scale = Math.min(NEAREST, Math.max(least, camera.scale * by));
  const [x, y] = toPlane(camera, px, py, size);
  return { x: x - (px - size.width / 2) / scale, y: y + (py - size.height / 2) / scale, scale };
}

export function pan(camera: Camera, dx: number, dy: number): Camera {
  return { ...camera, x: camera.x - dx / camera.scale, y: camera.y + dy / camera.scale };
}

export function toPlane(camera: Camera, px: number, py: number, size: Size): [number, number] {
  return [camera.x + (px - size.width / 2) / camera.scale, camera.y - (py - size.height / 2) / camera.scale];
}

export function toScreen(camera: Camera, x: number, y: number, size: Size): [number, number] {
  return [(x - camera.x) * camera.scale + size.width / 2, (camera.y - y) * camera.scale + size.height / 2];
}

// How toolscout does, as /readyz tells everybody, looked at again and again.
import { useEffect, useState } from "preact/hooks";
import { credential } from "./session";

const EVERY = 5_000;
/** Looked at sooner when it is not as it should be: whoever waits wants to know. */
const SOON = 1_000;

/** Something that does not do as it should. */
export interface Trouble {
  part: string;
  why: string;
  /** For operators. */
  servers?: string[];
}

export interface Vitals {
  /** A search is answered. */
  isReady: boolean;
  generation: number;
  troubles: Trouble[];
}

const UNREACHABLE: Vitals = { isReady: false, generation: 0, troubles: [{ part: "toolscout", why: "it can't be reached: what is shown may be old. Is it running?" }] };
const changed = new EventTarget();

/** Calls `told` when it can be asked again after it could not. */
export function onBack(told: () => void): () => void {
  changed.addEventListener("back", told);
  return () => changed.removeEventListener("back", told);
}

/** Calls `told` with the generation that is served, after every look. */
export function onLook(told: (generation: number) => void): () => void {
  const heard = (event: Event) => told((event as CustomEvent<number>).detail);
  changed.addEventListener("look", heard);
  return () => changed.removeEventListener("look", heard);
}

/** Calls `told` when another generation is served than at the look before. */
export function onGeneration(told: () => void): () => void {
  let seen: number | undefined;
  return onLook((generation) => {
    if (seen !== undefined && seen !== generation) told();
    seen = generation;
  });
}

/** `undefined` before the first look. */
export function useVitals(): Vitals | undefined {
  const [vitals, setVitals] = useState<Vitals>();
  useEffect(() => {
    let timer = 0;
    let isGone = false;
    let wasReady = true;
    const next = async () => {
      if (!document.hidden) {
        const now = await look();
        if (isGone) return;
        setVitals(now);
        if (now.isReady) changed.dispatchEvent(new CustomEvent("look", { detail: now.generation }));
        if (now.isReady && !wasReady) changed.dispatchEvent(new Event("back"));
        wasReady = now.isReady;
      }
      timer = window.setTimeout(next, wasReady ? EVERY : SOON);
    };
    next();
    return () => {
      isGone = true;
      clearTimeout(timer);
    };
  }, []);
  return vitals;
}

async function look(): Promise<Vitals> {
  try {
    const shown = credential();
    const response = await fetch("/readyz", { cache: "no-store", credentials: "omit", headers: shown ? { authorization: `Bearer ${shown}` } : {} });
    const body = await response.json();
    if (response.ok) return { isReady: true, generation: body.generation, troubles: body.degraded };
    return { isReady: false, generation: 0, troubles: [{ part: "toolscout", why: body.detail ?? `it answers ${response.status}` }] };
  } catch {
    return UNREACHABLE;
  }
}

// The states of a server, in words, and what to do about each.
import type { Server } from "../../live";

interface State {
  word: string;
  kind: "good" | "warn" | "bad" | "";
  /** What that means, and the next step. */
  means: string;
}

export const STATES: Record<Server["state"], State> = {
  ready: { word: "ready", kind: "good", means: "Its tools are known and current." },
  stale: { word: "stale", kind: "warn", means: "The last crawl failed or has not ended yet. Its tools are served as they were listed last; it is tried again by itself." },
  connecting: { word: "connecting", kind: "", means: "The first crawl is under way." },
  auth_required: { word: "login needed", kind: "warn", means: "It wants credentials. Log in below, or give its entry a token, then have it crawled." },
  failed: { word: "failed", kind: "bad", means: "It could not be crawled, and nothing is known of its tools. It is tried again by itself; “toolscout doctor” looks closer." },
  disabled: { word: "switched off", kind: "", means: "Its entry says enabled = false. Change that in the configuration to have it back." },
  paused: { word: "paused", kind: "", means: "An operator paused its crawls. Its tools stay as they are until it is resumed." },
  pending_approval: { word: "waits for approval", kind: "warn", means: "A registry lists it, and nobody has approved it yet: “toolscout registry approve” does." },
};

export function isTroubled(server: Server): boolean {
  return server.state === "failed" || server.state === "auth_required" || server.state === "stale" || server.error !== undefined;
}

/** How a server is spoken to. */
export function era(server: Server): string {
  if (server.transport === "file") return "read from a file";
  if (server.protocol === null) return "not known yet";
  return `MCP ${server.protocol}, ${server.protocol >= "2026-07-28" ? "without sessions" : "with sessions"}`;
}

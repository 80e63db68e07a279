// What the server tells of the picture, and of a query in it.

/** `GET /v1/map`: the lists from `server` to `y` have an entry for each point. */
export interface MapAnswer {
  state: "ready" | "drawing" | "no_vectors";
  reason?: string;
  generation: number;
  method: string;
  tools: number;
  servers: string[];
  server: number[];
  name: string[];
  x: number[];
  y: number[];
  groups: number[][];
}

/** `GET /v1/map/query` */
export interface PlaceAnswer {
  at: [number, number] | null;
  reason?: string;
}

export interface Hit {
  id: string;
  server: string;
  name: string;
  confidence: number;
}

/** A query that was answered: its hits, best first, and where it stands. */
export interface Found {
  text: string;
  hits: Hit[];
  noGoodMatch: boolean;
  at: [number, number] | null;
  reason?: string | undefined;
}

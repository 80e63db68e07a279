// The catalog as a picture: a point for each tool, those that mean the like near each other.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { type ApiError, asApiError, get, useData, withParams } from "../api";
import { Empty, Failure, Waiting } from "../parts/state";
import { useTyped } from "../parts/typed";
import { onGeneration } from "../vitals";
import "./map.css";
import type { Found, Hit, MapAnswer, PlaceAnswer } from "./map/answer";
import { MapCanvas, type MapHandle } from "./map/canvas";
import { Cloud, type Group } from "./map/cloud";
import { Chosen, Groups, Hits, Legend } from "./map/side";

const HITS = 20;
const DEBOUNCE = 200;
const AGAIN = 1500;

export function MapPage() {
  const map = useData<MapAnswer>("/v1/map");
  const isDrawing = map.data?.state === "drawing";
  useEffect(() => {
    if (!isDrawing || map.isLoading) return;
    const timer = setTimeout(map.reload, AGAIN);
    return () => clearTimeout(timer);
  }, [isDrawing, map.isLoading, map.reload]);
  useEffect(() => onGeneration(map.reload), [map.reload]);
  const cloud = useMemo(() => map.data && new Cloud(map.data), [map.data]);
  return (
    <div class="map">
      <h1>Map</h1>
      {!cloud && map.error && <Failure error={map.error} again={map.reload} />}
      {!cloud && !map.error && <Waiting what="Asking for the picture" />}
      {cloud && cloud.answer.state === "no_vectors" && <Nothing answer={cloud.answer} again={map.reload} />}
      {cloud && cloud.answer.state === "drawing" && cloud.count === 0 && <Waiting what={`The picture of ${cloud.answer.tools.toLocaleString("en")} tools is being drawn, once; that takes ${cloud.answer.tools > 50_000 ? "a minute or so" : "some seconds"}`} />}
      {cloud && cloud.count > 0 && <Picture cloud={cloud} />}
    </div>
  );
}

function Nothing({ answer, again }: { answer: MapAnswer; again: () => void }) {
  return (
    <Empty title={answer.tools === 0 ? "There are no tools yet" : "There is nothing to draw: no tool has a vector"}>
      <p>{answer.tools === 0 ? "Once a server is crawled its tools are drawn here." : (answer.reason ?? "The catalog has them as a list.")}</p>
      <p>
        <a href={answer.tools === 0 ? "/servers" : "/catalog"}>{answer.tools === 0 ? "Look at the servers" : "Look at the catalog"}</a>
      </p>
      <button type="button" onClick={again}>
        Look again
      </button>
    </Empty>
  );
}

function Picture({ cloud }: { cloud: Cloud }) {
  const { query, route } = useLocation();
  const [hidden, setHidden] = useState(new Set<string>());
  const [rings, setRings] = useState(true);
  const [group, setGroup] = useState<Group>();
  const canvas = useRef<MapHandle>(null);
  const only = query["server"] || undefined;
  const tool = query["tool"] || undefined;
  const [text, type] = useTyped(query["q"] ?? "", DEBOUNCE, (q) => go({ q }));
  const { found, error, isSearching } = useFound(text, cloud);

  const go = (change: Record<string, string | undefined>) => route(withParams("/map", { q: text, server: only, tool, ...change }), true);
  // A group is of one picture.
  useEffect(() => setGroup(undefined), [cloud]);

  const shown = useMemo(() => Uint8Array.from(cloud.answer.servers, (id) => Number(only === undefined ? !hidden.has(id) : id === only)), [cloud, only, hidden]);
  const hits = useMemo(() => {
    const placed = (found?.hits ?? []).map(({ id }, at) => ({ rank: at + 1, point: cloud.at(id) }));
    return placed.filter((hit): hit is { rank: number; point: number } => hit.point !== undefined);
  }, [cloud, found]);
  const select = (id: string | undefined) => {
    go({ tool: id });
    const point = id === undefined ? undefined : cloud.at(id);
    if (point !== undefined) canvas.current?.showPoint(point);
  };
  const walk = (by: 1 | -1) => {
    if (!found?.hits.length) return;
    const at = found.hits.findIndex(({ id }) => id === tool);
    const next = at < 0 ? (by > 0 ? 0 : found.hits.length - 1) : (at + by + found.hits.length) % found.hits.length;
    select(found.hits[next]?.id);
  };
  const look = (group: Group | undefined) => {
    setGroup(group);
    if (group) canvas.current?.show(cloud.boxAround(group.members));
  };
  const scene = { cloud, shown, rings, group: group?.members ?? [], selected: tool === undefined ? undefined : cloud.at(tool), hits, query: found?.at ?? null };
  const { answer, count } = cloud;
  return (
    <>
      <form class="row map-bar" role="search" onSubmit={(event) => event.preventDefault()}>
        <input data-search type="search" class="grow" aria-label="Draw a query on the map" placeholder="Say what a tool should do, and see where that is" value={text} onInput={(event) => type(event.currentTarget.value)} onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()} />
        <span class="small" role="status">
          {isSearching ? "Searching…" : `${count.toLocaleString("en")} of ${answer.tools.toLocaleString("en")} tools${answer.state === "drawing" ? ", being drawn anew" : ""}`}
        </span>
      </form>
      {error && <Failure error={error} />}
      <div class="map-main">
        <div>
          <MapCanvas scene={scene} handle={canvas} select={(point) => go({ tool: point === undefined ? undefined : cloud.id(point) })} walk={walk} label={`Map of ${count} tools of ${cloud.servers.length} servers`} />
          <p class="small" id="map-keys">
            Near each other is what means the like; distances across the map mean nothing. <kbd>arrows</kbd> move, <kbd>+</kbd> <kbd>-</kbd> zoom, <kbd>0</kbd> shows all, <kbd>Enter</kbd> opens the tool at the centre, <kbd>n</kbd> <kbd>p</kbd> walk the hits. {answer.method}.
          </p>
        </div>
        <div class="map-side">
          {tool !== undefined && <Chosen id={tool} close={() => go({ tool: undefined })} />}
          {found && <Hits cloud={cloud} found={found} selected={tool} select={select} showHits={() => hits.length && canvas.current?.show(cloud.boxAround(hits.map(({ point }) => point)))} />}
          <Legend
            cloud={cloud}
            only={only}
            hidden={hidden}
            isolate={(server) => {
              setHidden(new Set());
              go({ server });
            }}
            hide={(server, isHidden) => {
              const next = new Set(hidden);
              if (isHidden) next.add(server);
              else next.delete(server);
              setHidden(next);
            }}
          />
          <Groups cloud={cloud} looked={group} look={look} rings={rings} setRings={setRings} />
        </div>
      </div>
    </>
  );
}

/** What a text finds, and where it stands on the map; the last text's answer wins. */
function useFound(text: string, cloud: Cloud) {
  const [state, setState] = useState<{ found?: Found; error?: ApiError; isSearching: boolean }>({ isSearching: false });
  useEffect(() => {
    const q = text.trim();
    if (!q) return setState({ isSearching: false });
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      setState((before) => ({ ...before, isSearching: true }));
      try {
        const asked = get<{ tools: Hit[]; no_good_match: boolean }>("/v1/search", { q, limit: HITS, explain: "1" }, abort.signal);
        const [answer, place] = await Promise.all([asked, get<PlaceAnswer>("/v1/map/query", { q }, abort.signal)]);
        setState({ found: { text: q, hits: answer.tools, noGoodMatch: answer.no_good_match, at: place.at, reason: place.reason }, isSearching: false });
      } catch (error) {
        if (!abort.signal.aborted) setState({ error: asApiError(error), isSearching: false });
      }
    }, DEBOUNCE);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text, cloud]);
  return state;
}

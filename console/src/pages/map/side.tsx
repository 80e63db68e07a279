// Beside the picture: what is on it in words, so that nobody has to see it to read it.
import { useState } from "preact/hooks";
import { useData, withParams } from "../../api";
import { count } from "../../parts/count";
import { Cross } from "../../parts/cross";
import { Failure, Waiting } from "../../parts/state";
import type { Found } from "./answer";
import { COLOURED, type Cloud, type Group } from "./cloud";

/** Servers and groups that are listed before more are asked for. */
const LISTED = 12;

interface LegendProps {
  cloud: Cloud;
  only: string | undefined;
  hidden: Set<string>;
  isolate: (server: string | undefined) => void;
  hide: (server: string, isHidden: boolean) => void;
}

/** The servers: how many tools each has, shown or hidden, or one alone. */
export function Legend({ cloud, only, hidden, isolate, hide }: LegendProps) {
  const [text, setText] = useState("");
  const [isAll, setAll] = useState(false);
  const wanted = cloud.servers.filter(({ id }) => id.toLowerCase().includes(text.toLowerCase()));
  const listed = isAll ? wanted.slice(0, 500) : wanted.slice(0, LISTED);
  const isolated = cloud.servers.find(({ id }) => id === only);
  if (isolated && !listed.includes(isolated)) listed.unshift(isolated);
  return (
    <section aria-labelledby="map-servers">
      <div class="row">
        <h2 id="map-servers">
          Servers <span class="small">{cloud.servers.length.toLocaleString("en")}</span>
        </h2>
        {(only !== undefined || hidden.size > 0) && (
          <button type="button" class="quiet" onClick={() => isolate(undefined)}>
            Show all
          </button>
        )}
      </div>
      {cloud.servers.length > LISTED && <input type="search" aria-label="Find a server" placeholder="Find a server" value={text} onInput={(event) => setText(event.currentTarget.value)} />}
      <ul class="map-list">
        {listed.map(({ id, tools, colour }) => (
          <li key={id}>
            <input type="checkbox" aria-label={`Show ${id}`} checked={only === undefined ? !hidden.has(id) : only === id} disabled={only !== undefined} onChange={(event) => hide(id, !event.currentTarget.checked)} />
            <button type="button" class="quiet map-server" aria-pressed={only === id} title={only === id ? "Show all servers" : `Show ${id} alone`} onClick={() => isolate(only === id ? undefined : id)}>
              <span class={`map-dot map-dot-${colour < COLOURED ? colour + 1 : "rest"}`} aria-hidden="true" />
              <span class="map-name">{id}</span>
              <span class="number small">{count(tools, "tool")}</span>
            </button>
          </li>
        ))}
      </ul>
      {!isAll && wanted.length > LISTED && (
        <button type="button" class="quiet" onClick={() => setAll(true)}>
          List {Math.min(500, wanted.length).toLocaleString("en")} servers
        </button>
      )}
      {wanted.length === 0 && <p class="small">No server is called so.</p>}
      {cloud.servers.length > COLOURED && <p class="small">The {COLOURED} servers with most tools have a colour; all others are grey.</p>}
    </section>
  );
}

interface HitsProps {
  cloud: Cloud;
  found: Found;
  selected: string | undefined;
  select: (id: string) => void;
  showHits: () => void;
}

/** What a query found, by rank. */
export function Hits({ cloud, found, selected, select, showHits }: HitsProps) {
  return (
    <section aria-labelledby="map-hits">
      <div class="row">
        <h2 id="map-hits">
          Hits <span class="small">{found.hits.length}</span>
        </h2>
        {found.hits.length > 0 && (
          <button type="button" class="quiet" onClick={showHits}>
            Zoom to the hits
          </button>
        )}
      </div>
      {found.hits.length === 0 && <p>Nothing is found: say it in other words.</p>}
      {found.noGoodMatch && found.hits.length > 0 && <p class="small">None of them is likely to be what is looked for.</p>}
      <ol class="map-list">
        {found.hits.map((hit, at) => (
          <li key={hit.id}>
            <button type="button" class="quiet map-server" data-tool-id={hit.id} aria-pressed={selected === hit.id} onClick={() => select(hit.id)}>
              <span class="number map-rank">{at + 1}</span>
              <span class="map-name">{hit.id}</span>
              <span class="number small" title="How likely it meets the need">
                {cloud.at(hit.id) === undefined ? "not on the map" : `${Math.round(hit.confidence * 100)} %`}
              </span>
            </button>
          </li>
        ))}
      </ol>
      <p class="small">{found.at ? "◆ The query stands between the tools whose vectors are nearest to its own; lines go to the hits." : (found.reason ?? "The query has no place on the map now.")}</p>
    </section>
  );
}

interface GroupsProps {
  cloud: Cloud;
  looked: Group | undefined;
  look: (group: Group | undefined) => void;
  rings: boolean;
  setRings: (on: boolean) => void;
}

/** Near-duplicates: the largest groups. */
export function Groups({ cloud, looked, look, rings, setRings }: GroupsProps) {
  const [listed, setListed] = useState(LISTED);
  const groups = cloud.groups;
  return (
    <section aria-labelledby="map-groups">
      <div class="row">
        <h2 id="map-groups">
          Near-duplicates <span class="small">{groups.length.toLocaleString("en")}</span>
        </h2>
        {groups.length > 0 && (
          <label class="small">
            <input type="checkbox" checked={rings} onChange={(event) => setRings(event.currentTarget.checked)} /> Rings
          </label>
        )}
      </div>
      {groups.length === 0 && <p class="small">No two tools say nearly the same.</p>}
      <ul class="map-list">
        {groups.slice(0, listed).map((group) => (
          <li key={group.members[0]}>
            <button type="button" class="quiet map-server" aria-pressed={looked === group} onClick={() => look(looked === group ? undefined : group)}>
              <span class="number map-rank">{group.members.length}×</span>
              <span class="map-name">{cloud.answer.name[group.members[0]!]}</span>
              <span class="small map-name">{serversOf(cloud, group)}</span>
            </button>
            {looked === group && (
              <ul class="map-members small">
                {group.members.slice(0, 50).map((point) => (
                  <li key={point}>{cloud.id(point)}</li>
                ))}
              </ul>
            )}
          </li>
        ))}
      </ul>
      {groups.length > listed && (
        <button type="button" class="quiet" onClick={() => setListed(listed + 50)}>
          List more groups
        </button>
      )}
    </section>
  );
}

function serversOf(cloud: Cloud, group: Group): string {
  const servers = [...new Set(group.members.map((point) => cloud.serverOf(point)))];
  return servers.length > 2 ? `${servers.length} servers` : servers.join(", ");
}

interface Known {
  id: string;
  server: string;
  name: string;
  definition: { description?: string; [field: string]: unknown };
}

/** The tool that is chosen. */
export function Chosen({ id, close }: { id: string; close: () => void }) {
  const { data, error, isLoading, reload } = useData<Known>(`/v1/tools/${encodeURIComponent(id)}`);
  const tool = data?.id === id ? data : undefined;
  return (
    <section class="card map-chosen" aria-labelledby="map-chosen" data-tool-id={id}>
      <div class="row">
        <h2 id="map-chosen" class="map-id">
          {id}
        </h2>
        <Cross label="Close" press={close} />
      </div>
      {!tool && isLoading && <Waiting what="Asking for the definition" />}
      {error && !tool && <Failure error={error} again={reload} />}
      {tool && (
        <>
          <p>{tool.definition.description ?? "It has no description."}</p>
          <p class="row">
            <a href={withParams("/", { q: tool.name.replaceAll(/[_-]+/g, " ") })}>Search for it</a>
            <a href={withParams("/catalog", { tool: id })}>In the catalog</a>
          </p>
          <details>
            <summary>Definition</summary>
            <pre tabIndex={0}>{JSON.stringify(tool.definition, null, 2)}</pre>
          </details>
        </>
      )}
    </section>
  );
}

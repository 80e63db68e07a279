// Every tool there is: found by a few letters, in any order, with its definition and what became of it.
import { useCallback, useMemo } from "preact/hooks";
import { withParams } from "../api";
import { useAddress } from "../parts/address";
import { count } from "../parts/count";
import { Split, goToDetail } from "../parts/split";
import { Empty, Failure, Waiting } from "../parts/state";
import { span, useNow } from "../parts/time";
import { VirtualList } from "../parts/virtual";
import { ToolDetail } from "./catalog/detail";
import { useRows, type Rows, type Tool } from "./catalog/rows";
import "./catalog.css";

/** The orders, and what of a tool each goes by; the smallest comes first. */
const SORTS: Record<string, { name: string; by?: (tool: Tool) => number }> = {
  name: { name: "Name" },
  size: { name: "Size, largest first", by: (tool) => -tool.tokens },
  age: { name: "Age, newest first", by: (tool) => -(tool.firstSeen ?? 0) },
  changed: { name: "Last change, newest first", by: (tool) => -(tool.changed ?? 0) },
  changes: { name: "Changes, most first", by: (tool) => -tool.changes },
  findings: { name: "Findings, most first", by: (tool) => -tool.findings - Number(tool.held) },
  twins: { name: "Same tool elsewhere, most first", by: (tool) => -tool.twins },
};

export function Catalog() {
  const [query, go] = useAddress("/catalog");
  const rows = useRows();
  const now = useNow(10_000);
  const { q: text = "", server = "", sort = "name", tool: id } = query;
  const shown = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.tools.filter((tool) => (!server || tool.server === server) && words.every((word) => tool.key.includes(word)));
    const by = SORTS[sort]?.by;
    // They come by id, and a sort keeps that where it finds no difference.
    return by ? found.sort((a, b) => by(a) - by(b)) : found;
  }, [rows.tools, text, server, sort]);
  const places = useMemo(() => new Map(shown.map((tool, at) => [tool.id, at])), [shown]);
  // There may be thousands: what is the same is not looked at again with each letter.
  const options = useMemo(() => {
    const counts = new Map<string, number>(server ? [[server, 0]] : []);
    for (const tool of rows.tools) counts.set(tool.server, (counts.get(tool.server) ?? 0) + 1);
    const ordered = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
    return ordered.map(([id, count]) => (
      <option key={id} value={id}>
        {id} ({count.toLocaleString("en")})
      </option>
    ));
  }, [rows.tools, server]);
  const close = useCallback(() => go({ tool: undefined }), [go]);
  if (rows.error && rows.tools.length === 0) return <Failure error={rows.error} again={rows.reload} />;
  if (rows.isLoading && rows.tools.length === 0) return <Waiting what="Reading the catalog" />;
  return (
    <Split
      name="catalog"
      label="Tools"
      detailLabel="The chosen tool"
      isOpen={id !== undefined}
      close={close}
      list={
        <>
          <div class="row catalog-head">
            <h1>Catalog</h1>
            <Summary rows={rows} shown={shown.length} now={now} />
          </div>
          <div class="row">
            <input
              class="grow"
              type="search"
              placeholder="Filter by name, title or server"
              aria-label="Filter tools"
              data-search
              value={text}
              onInput={(event) => go({ q: event.currentTarget.value })}
            />
            <select aria-label="Server" value={server} onChange={(event) => go({ server: event.currentTarget.value })}>
              <option value="">All servers</option>
              {options}
            </select>
            <select aria-label="Order" value={sort} onChange={(event) => go({ sort: event.currentTarget.value === "name" ? undefined : event.currentTarget.value })}>
              {Object.entries(SORTS).map(([key, { name }]) => (
                <option key={key} value={key}>
                  {name}
                </option>
              ))}
            </select>
          </div>
          {shown.length > 0 ? (
            <VirtualList
              items={shown}
              height={38}
              label={count(shown.length, "tool")}
              idOf={(tool) => tool.id}
              chosen={id === undefined ? undefined : places.get(id)}
              choose={(index) => go({ tool: shown[index]?.id })}
              open={goToDetail}
              row={(tool) => <ToolRow tool={tool} sort={sort} now={now} />}
            />
          ) : rows.tools.length > 0 ? (
            <Empty title="No tool is called that">
              <p>
                The filter looks for letters in names. What a tool does is found by the <a href={withParams("/", { q: text })}>search</a>.
              </p>
            </Empty>
          ) : (
            <Empty title="There is no tool yet">
              <p>
                Servers are listed when they are crawled: see how they do on the page of <a href="/servers">servers</a>.
              </p>
            </Empty>
          )}
        </>
      }
      detail={
        id === undefined ? (
          <Empty title="No tool is chosen">
            <p>Choose one to see its definition and what became of it: arrows move in the list.</p>
          </Empty>
        ) : (
          <ToolDetail key={id} id={id} row={rows.tools[indexOf(rows.tools, id)]} now={now} close={close} />
        )
      }
    />
  );
}

/** Where the tool of this id stands in a list by id. */
function indexOf(tools: Tool[], id: string): number {
  let [low, high] = [0, tools.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((tools[middle]?.id ?? "") < id) low = middle + 1;
    else high = middle;
  }
  return tools[low]?.id === id ? low : -1;
}

function Summary({ rows, shown, now }: { rows: Rows; shown: number; now: number }) {
  const { tools, total, isLoading, news } = rows;
  const parts = [`${shown === tools.length ? "" : `${shown.toLocaleString("en")} of `}${count(tools.length, "tool")}`];
  if (isLoading && total > tools.length) parts.push(`reading ${total.toLocaleString("en")}`);
  if (rows.error) parts.push(`not all could be read: ${rows.error.message}`);
  if (news) {
    const what = [
      [news.added, "new"],
      [news.changed, "changed"],
      [news.removed, "gone"],
    ].filter(([number]) => number);
    parts.push(`${what.map(([number, word]) => `${number?.toLocaleString("en")} ${word}`).join(", ")} ${span(now - news.at)} ago`);
  }
  return (
    <p class="small" role="status">
      {parts.join(" · ")}
    </p>
  );
}

function ToolRow({ tool, sort, now }: { tool: Tool; sort: string; now: number }) {
  const since = sort === "age" ? tool.firstSeen : tool.changed;
  return (
    <div class="tool-row">
      <span class="tool-name">
        {tool.name} <span class="small">{tool.server}</span>
      </span>
      <span class="tool-marks">
        {tool.held && <span class="badge warn">newer one held</span>}
        {tool.findings > 0 && <span class="badge warn">{count(tool.findings, "finding")}</span>}
        {tool.twins > 0 && <span class="badge">{tool.twins} elsewhere</span>}
      </span>
      <span class="small number">
        {since !== null && (sort === "age" ? `seen ${span(now - 1000 * since)} ago` : `${tool.changes === 1 ? "changed" : `${tool.changes} changes,`} ${span(now - 1000 * since)} ago`)}
      </span>
      <span class="number tool-size">{count(tool.tokens, "token")}</span>
    </div>
  );
}

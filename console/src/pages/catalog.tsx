// Every tool there is: found by a few letters, in any order, with its definition and what became of it.
import { useCallback, useMemo } from "preact/hooks";
import { withParams } from "../api";
import { useAddress } from "../parts/address";
import { count } from "../parts/count";
import { Split, SplitHead, goToDetail, matcher } from "../parts/split";
import { Empty, Failure, Waiting } from "../parts/state";
import { span, useNow } from "../parts/time";
import { VirtualList } from "../parts/virtual";
import { ToolDetail } from "./catalog/detail";
import { useRows, type Rows, type Tool } from "./catalog/rows";
import "./catalog.css";

interface Order {
  name: string;
  /** What comes first, and what where it is turned around. */
  first: [string, string];
  /** The largest of these is first; those of which it is not known are last, either way. */
  by?: (tool: Tool) => number | null;
}

const BY_NAME: Order = { name: "Name", first: ["A to Z", "Z to A"] };
const ORDERS = new Map<string, Order>([
  ["name", BY_NAME],
  ["size", { name: "Size", first: ["Largest first", "Smallest first"], by: (tool) => tool.tokens }],
  ["age", { name: "Age", first: ["Newest first", "Oldest first"], by: (tool) => tool.firstSeen }],
  ["changed", { name: "Last change", first: ["Newest first", "Oldest first"], by: (tool) => tool.changed }],
  ["changes", { name: "Changes", first: ["Most first", "Fewest first"], by: (tool) => tool.changes }],
  ["findings", { name: "Findings", first: ["Most first", "Fewest first"], by: (tool) => tool.findings + Number(tool.held) }],
  ["twins", { name: "Same tool", first: ["Most first", "Fewest first"], by: (tool) => tool.twins }],
]);

/** Those of `tools`, which come by id, in an order; a sort keeps theirs where it finds no difference. */
function ordered(tools: Tool[], { by }: Order, isTurned: boolean): Tool[] {
  if (!by) return isTurned ? tools.reverse() : tools;
  const sign = isTurned ? -1 : 1;
  return tools.sort((one, other) => {
    const [a, b] = [by(one), by(other)];
    return a === null || b === null ? Number(a === null) - Number(b === null) : sign * (b - a);
  });
}

export function Catalog() {
  const [query, go] = useAddress("/catalog");
  const rows = useRows();
  const now = useNow(10_000);
  const { q: text = "", server = "", sort = "name", turned, tool: id } = query;
  const order = ORDERS.get(sort) ?? BY_NAME;
  const isTurned = turned === "1";
  const first = order.first[isTurned ? 1 : 0];
  const shown = useMemo(() => {
    const fits = matcher(text);
    const found = rows.tools.filter((tool) => (!server || tool.server === server) && fits(tool.key));
    return ordered(found, order, isTurned);
  }, [rows.tools, text, server, order, isTurned]);
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
          <SplitHead title="Catalog" what="tools" summary={summary(rows, shown.length, now)} looksAt="name, title or server" text={text} filter={(q) => go({ q })}>
            <select aria-label="Server" value={server} onChange={(event) => go({ server: event.currentTarget.value })}>
              <option value="">All servers</option>
              {options}
            </select>
            <select aria-label="Order" value={sort} onChange={({ currentTarget: { value } }) => go({ sort: value === "name" ? undefined : value, turned: undefined })}>
              {[...ORDERS].map(([key, { name }]) => (
                <option key={key} value={key}>
                  {name}
                </option>
              ))}
            </select>
            <button type="button" aria-label={`${first}: turn around`} title="Turn around" onClick={() => go({ turned: isTurned ? undefined : "1" })}>
              {first}
            </button>
          </SplitHead>
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

/** How many there are, and what became of them last. */
function summary(rows: Rows, shown: number, now: number): string {
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
  return parts.join(" · ");
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
        {tool.twins > 0 && <span class="badge">same tool on {count(tool.twins, "server")}</span>}
      </span>
      <span class="small number">
        {since !== null && (sort === "age" ? `seen ${span(now - 1000 * since)} ago` : `${tool.changes === 1 ? "changed" : `${tool.changes} changes,`} ${span(now - 1000 * since)} ago`)}
      </span>
      <span class="number tool-size">{count(tool.tokens, "token")}</span>
    </div>
  );
}

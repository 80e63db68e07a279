// Every server and how it does, as it happens.
import { useCallback, useMemo, useState } from "preact/hooks";
import { useLive, type LiveServer } from "../live";
import { useAddress } from "../parts/address";
import { count } from "../parts/count";
import { Split, SplitHead, goToDetail, matcher } from "../parts/split";
import { Empty, Failure, Waiting } from "../parts/state";
import { span, useNow } from "../parts/time";
import { VirtualList } from "../parts/virtual";
import { AddServer } from "./servers/add";
import { ServerDetail } from "./servers/detail";
import { STATES, isTroubled } from "./servers/states";
import "./servers.css";

export function Servers() {
  const [query, go] = useAddress("/servers");
  const { live, error } = useLive();
  const now = useNow();
  const text = query["q"] ?? "";
  const all = useMemo(() => [...(live?.servers.values() ?? [])], [live]);
  const shown = useMemo(() => {
    const fits = matcher(text);
    const says = (server: LiveServer) => `${server.id} ${server.title ?? ""} ${STATES[server.state].word} ${server.transport}`.toLowerCase();
    return all.filter((server) => fits(says(server))).sort((a, b) => Number(isTroubled(b)) - Number(isTroubled(a)));
  }, [all, text]);
  const chosen = shown.findIndex((server) => server.id === query["server"]);
  const server = query["server"] === undefined ? undefined : live?.servers.get(query["server"]);
  const close = useCallback(() => go({ server: undefined }), [go]);
  // The one that was added here; it is told of as long as it is looked at.
  const [added, setAdded] = useState<string>();
  const isAdded = added !== undefined && added === query["server"];
  if (error && !live) return <Failure error={error} />;
  if (!live) return <Waiting what="Asking how the servers do" />;
  return (
    <Split
      name="servers"
      label="Servers"
      detailLabel="The chosen server"
      isOpen={server !== undefined || isAdded}
      close={close}
      list={
        <>
          <SplitHead title="Servers" what="servers" summary={summary(all)} looksAt="name, state or transport" text={text} filter={(q) => go({ q })}>
            <AddServer
              added={(id) => {
                setAdded(id);
                go({ server: id, q: undefined });
                goToDetail();
              }}
            />
          </SplitHead>
          {shown.length > 0 ? (
            <VirtualList
              items={shown}
              height={60}
              label={count(shown.length, "server")}
              idOf={(server) => server.id}
              chosen={chosen < 0 ? undefined : chosen}
              choose={(index) => go({ server: shown[index]?.id })}
              open={goToDetail}
              row={(server) => <ServerRow server={server} now={now} />}
            />
          ) : all.length > 0 ? (
            <Empty title="No server is called that">
              <p>Fewer letters find more. The filter looks at names, states and transports.</p>
            </Empty>
          ) : (
            <Empty title="There is no server yet">
              <p>
                Add one here, or run <code>toolscout add URL</code> or <code>toolscout import</code> where toolscout runs.
              </p>
            </Empty>
          )}
        </>
      }
      detail={
        <>
          <p class="added" role="status">
            {isAdded && `${added} is added. What becomes of its first crawl is shown here.`}
          </p>
          {server ? (
            <ServerDetail key={server.id} server={server} now={now} close={close} />
          ) : isAdded ? (
            <Waiting what="Reading its entry" />
          ) : query["server"] !== undefined ? (
            <Empty title="This server is no longer there">
              <p>It was taken out of the configuration.</p>
            </Empty>
          ) : (
            <Empty title="No server is chosen">
              <p>Choose one to see more of it: arrows move in the list.</p>
            </Empty>
          )}
        </>
      }
    />
  );
}

/** How many there are, and how they do. */
function summary(servers: LiveServer[]): string {
  const tools = servers.reduce((sum, server) => sum + (server.tools ?? 0), 0);
  const ready = servers.filter((server) => server.state === "ready").length;
  const troubled = servers.filter(isTroubled).length;
  const said = [count(servers.length, "server"), count(tools, "tool"), `${ready.toLocaleString("en")} ready`];
  if (troubled > 0) said.push(`${troubled.toLocaleString("en")} in trouble`);
  return said.join(", ");
}

function ServerRow({ server, now }: { server: LiveServer; now: number }) {
  const { word, kind } = STATES[server.state];
  const waits = server.held + server.quarantined;
  return (
    <div class="server-row" data-server={server.id}>
      <span class={`badge ${kind}`}>{word}</span>
      <span class="server-name">
        {server.title ?? server.id} {server.title && server.title !== server.id && <span class="small">{server.id}</span>}
      </span>
      <span class="number">{server.tools === null ? "tools unknown" : count(server.tools, "tool")}</span>
      <span class="small server-said">
        {server.error ?? (waits > 0 ? `${count(waits, "definition waits", "definitions wait")} for approval` : server.transport)}
      </span>
      <span class="small number">{server.listedAt === undefined ? "never listed" : `${span(now - server.listedAt)} ago`}</span>
    </div>
  );
}

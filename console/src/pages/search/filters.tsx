// How a search is narrowed, and by what it is ranked.
import { useId, useState } from "preact/hooks";
import { view } from "../../session";
import type { Config } from "./asked";

export interface Server {
  id: string;
  title: string | null;
  state: string;
  listedAt: number | undefined;
  tools: number | null;
}

interface Props {
  config: Config;
  change: (change: Partial<Config>) => void;
  servers: Server[];
}

/** Servers that are offered to choose from. */
const OFFERED = 50;

const HINTS = [
  ["read_only", "Changes", "any", "reads only", "may change"],
  ["destructive", "Deletes", "any", "may delete", "deletes nothing"],
  ["open_world", "Reach", "any", "beyond its server", "its server only"],
] as const;

export function Filters({ config, change, servers }: Props) {
  const id = useId();
  const number = (name: "limit" | "token_budget" | "profile", label: string, placeholder: string) => (
    <label>
      {label}
      <input
        class={name === "profile" ? "" : "number"}
        inputMode={name === "profile" ? "text" : "numeric"}
        size={8}
        placeholder={placeholder}
        spellcheck={false}
        autocomplete="off"
        value={config[name]}
        onChange={(event) => change({ [name]: event.currentTarget.value.trim() })}
      />
    </label>
  );
  return (
    <div class="filters">
      <ServerPicker id={id} chosen={config.servers} servers={servers} choose={(servers) => change({ servers })} />
      {HINTS.map(([name, label, any, yes, no]) => (
        <label key={name}>
          {label}
          <select value={config[name]} onChange={(event) => change({ [name]: event.currentTarget.value })}>
            <option value="">{any}</option>
            <option value="1">{yes}</option>
            <option value="0">{no}</option>
          </select>
        </label>
      ))}
      <label>
        Ranked by
        <select value={config.arm} onChange={(event) => change({ arm: event.currentTarget.value })}>
          <option value="">words and meaning</option>
          <option value="lexical">words only</option>
          <option value="dense">meaning only</option>
        </select>
      </label>
      {number("limit", "At most", "5–10 tools")}
      {number("token_budget", "Token budget", "none")}
      {!view().profile && number("profile", "Profile", "none")}
    </div>
  );
}

function ServerPicker({ id, chosen, servers, choose }: { id: string; chosen: string[]; servers: Server[]; choose: (servers: string[]) => void }) {
  const [text, setText] = useState("");
  // Some catalogs have thousands of servers: those that are meant are offered.
  const wanted = text.toLowerCase();
  const meant = (server: Server) => !chosen.includes(server.id) && `${server.id} ${server.title ?? ""}`.toLowerCase().includes(wanted);
  const take = (name: string) => {
    if (!servers.some((server) => server.id === name)) return setText(name);
    if (!chosen.includes(name)) choose([...chosen, name]);
    setText("");
  };
  return (
    <div class="server-picker">
      <label>
        Server
        <input
          list={`${id}-servers`}
          size={12}
          placeholder={chosen.length ? "and another" : "all"}
          spellcheck={false}
          autocomplete="off"
          value={text}
          onInput={(event) => take(event.currentTarget.value)}
        />
      </label>
      <datalist id={`${id}-servers`}>
        {servers
          .filter(meant)
          .slice(0, OFFERED)
          .map((server) => (
            <option key={server.id} value={server.id}>
              {server.title ?? server.id}
            </option>
          ))}
      </datalist>
      {chosen.map((name) => (
        <button key={name} type="button" class="chip" aria-label={`Server ${name}: remove the filter`} onClick={() => choose(chosen.filter((other) => other !== name))}>
          {name} <span aria-hidden="true">✕</span>
        </button>
      ))}
    </div>
  );
}

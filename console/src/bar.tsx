// What of the server stands in the bar: which state of its index answers, and for operators whose.
import { useEffect, useState } from "preact/hooks";
import { get, useData } from "./api";
import { count } from "./parts/count";
import { keepView, view } from "./session";
import type { Vitals } from "./vitals";

interface Status {
  generation: number;
  mode: string;
  total: number;
}

/** Generation, tools, mode; asked anew with each generation. */
export function Pulse({ vitals }: { vitals: Vitals | undefined }) {
  const { data, reload } = useData<Status>("/v1/status");
  useEffect(reload, [vitals?.generation, reload]);
  if (!data) return null;
  return (
    <p class="pulse small">
      <span class="pulse-more">generation {data.generation.toLocaleString("en")} · </span>
      {count(data.total, "tool")} · {data.mode}
    </p>
  );
}

interface Choices {
  tenants: string[];
  profiles: string[];
}

/** Whose tools are shown: only for those who run this toolscout, and only where there is a choice. */
export function ViewSwitch() {
  const [choices, setChoices] = useState<Choices>({ tenants: [], profiles: [] });
  useEffect(() => {
    const abort = new AbortController();
    choicesOf(abort.signal)
      .then(setChoices)
      .catch(() => {});
    return () => abort.abort();
  }, []);
  const now = view();
  return (
    <>
      {choices.tenants.length > 0 && (
        <Choice label="Tenant" none="no tenant" all={choices.tenants} now={now.tenant} choose={(tenant) => keepView({ tenant })} />
      )}
      {choices.profiles.length > 0 && (
        <Choice label="Profile" none="all tools" all={choices.profiles} now={now.profile} choose={(profile) => keepView({ ...now, profile })} />
      )}
    </>
  );
}

async function choicesOf(signal: AbortSignal): Promise<Choices> {
  const { scopes } = await get<{ scopes: string[] }>("/v1/me", {}, signal);
  if (!scopes.includes("admin")) return { tenants: [], profiles: [] };
  const named = async (what: "tenants" | "profiles") => {
    const list = await get<Record<string, { name: string }[]>>(`/v1/admin/${what}`, {}, signal);
    return list[what]?.map(({ name }) => name) ?? [];
  };
  // Those who administer one tenant's hear of no others.
  const tenants = await named("tenants").catch(() => []);
  return { tenants, profiles: await named("profiles") };
}

interface ChoiceProps {
  label: string;
  none: string;
  all: string[];
  now: string | undefined;
  choose: (name: string | undefined) => void;
}

function Choice({ label, none, all, now, choose }: ChoiceProps) {
  // One that is gone is shown as long as it is chosen.
  const names = now && !all.includes(now) ? [now, ...all] : all;
  return (
    <select class="view" aria-label={label} value={now ?? ""} onChange={(event) => choose(event.currentTarget.value || undefined)}>
      <option value="">{none}</option>
      {names.map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </select>
  );
}

// Who one is, and whose toolscout one looks at: kept for this tab alone (sessionStorage), and sent as
// headers. The browser sends nothing of it by itself, so no other page can ask in this one's name.
import { renew, revoke, type Grant } from "./oauth";

const CREDENTIAL = "toolscout.credential";
const VIEW = "toolscout.view";

/** What is shown to the server, and how it is renewed where an authorization server gave it. */
export interface Kept {
  token: string;
  grant?: Grant | undefined;
}

/** What an operator chose to look at: a tenant's toolscout, a profile's tools. */
export interface View {
  tenant?: string | undefined;
  profile?: string | undefined;
}

const changed = new EventTarget();

function read<T>(name: string): T | null {
  try {
    return JSON.parse(sessionStorage.getItem(name) ?? "null");
  } catch {
    return null;
  }
}

export const kept = () => read<Kept>(CREDENTIAL);
export const view = () => read<View>(VIEW) ?? {};
export const credential = (): string | null => kept()?.token ?? null;

/** Keeps a credential, or forgets it and what was looked at with it; the pages are asked anew. */
export function keepCredential(value: string | Kept | null) {
  if (value === null) {
    sessionStorage.removeItem(CREDENTIAL);
    sessionStorage.removeItem(VIEW);
  } else sessionStorage.setItem(CREDENTIAL, JSON.stringify(typeof value === "string" ? { token: value } : value));
  changed.dispatchEvent(new Event("credential"));
}

/** Forgets who one is, here and where the credential came from. */
export function logOut() {
  const was = kept();
  keepCredential(null);
  // Whether that can be reached or not.
  if (was?.grant) revoke(was.grant, was.token).catch(() => {});
}

export function keepView(value: View) {
  sessionStorage.setItem(VIEW, JSON.stringify(value));
  changed.dispatchEvent(new Event("credential"));
}

/** Takes the credential out of an address that "toolscout console" printed, and out of the history. */
export function takeFromAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  const key = said.get("key");
  if (!key) return;
  history.replaceState(history.state, "", location.pathname + location.search);
  // Any page could have led here with a key of its own.
  const now = credential();
  if (now && now !== key && !confirm("This address logs you in as somebody else. Do you want that?")) return;
  keepView({ tenant: said.get("tenant") ?? undefined });
  keepCredential(key);
}

/** What to show the server now: renewed where it is about to end. */
export async function fresh(): Promise<string | null> {
  const now = kept();
  const ends = now?.grant?.until;
  return now && ends !== undefined && ends < Date.now() + 30_000 ? renewed(now.token) : (now?.token ?? null);
}

let renewing: Promise<string | null> | undefined;

/** Another for this one, which counts no more; the same where there is none. */
export function renewed(token: string): Promise<string | null> {
  const now = kept();
  if (!now || now.token !== token || !now.grant?.refresh) return Promise.resolve(now?.token ?? null);
  renewing ??= renew(now.grant)
    .then((next) => {
      // Nobody is told: it is the same person.
      if (kept()?.token === token) sessionStorage.setItem(CREDENTIAL, JSON.stringify(next));
      return next.token;
    })
    .catch(() => token)
    .finally(() => (renewing = undefined));
  return renewing;
}

/** The server would not have this one: it is forgotten, unless there is another by now. */
export function refused(shown: string | null, why: string) {
  if (shown !== credential()) return;
  sessionStorage.removeItem(CREDENTIAL);
  changed.dispatchEvent(new CustomEvent("refused", { detail: shown ? why : "" }));
}

/** Somebody wants to log in where it is not needed. */
export function askForLogin() {
  changed.dispatchEvent(new Event("wanted"));
}

/** Calls `told` with "refused" where a request needs a login, with "credential" after one, with "wanted" where somebody asks for one. */
export function onLogin(told: (what: "refused" | "credential" | "wanted", why: string) => void): () => void {
  const tell = (event: Event) => told(event.type as "refused", event instanceof CustomEvent ? event.detail : "");
  const names = ["refused", "credential", "wanted"];
  for (const name of names) changed.addEventListener(name, tell);
  return () => {
    for (const name of names) changed.removeEventListener(name, tell);
  };
}

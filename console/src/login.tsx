// Who one is: asked for where the server asks, and offered where it does not.
import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { asApiError, keepCredential, onLogin, request, useData } from "./api";
import { begin, finish, told, type LoginAt } from "./oauth";
import { kept, logOut } from "./session";

/** What /console/settings.json says. */
export interface Settings {
  version: string;
  asks: boolean;
  keys: boolean;
  issuers: LoginAt[];
}

export const useSettings = () => useData<Settings>("/console/settings.json").data;

export interface LoginState {
  /** Nothing can be shown without one. */
  isNeeded: boolean;
  isWanted: boolean;
  /** Why the last one counts no more. */
  why: string;
  /** Changes with each one. */
  turn: number;
  leave: () => void;
}

export function useLogin(settings: Settings | undefined): LoginState {
  const [state, setState] = useState({ isRefused: false, isWanted: false, why: "", turn: 0 });
  useEffect(
    () =>
      onLogin((what, why) =>
        setState((before) => ({
          isRefused: what === "refused" || (what === "wanted" && before.isRefused),
          isWanted: what === "wanted" || (what === "refused" && before.isWanted),
          // Whoever asks on without the credential that was refused is told less than the first.
          why: what === "refused" ? before.why || why : "",
          turn: what === "credential" ? before.turn + 1 : before.turn,
        })),
      ),
    [],
  );
  const leave = () => setState((before) => ({ ...before, isWanted: false }));
  return { isNeeded: state.isRefused && settings?.asks === true, isWanted: state.isWanted, why: state.why, turn: state.turn, leave };
}

export function Login({ settings, state }: { settings: Settings | undefined; state: LoginState }) {
  const [key, setKey] = useState("");
  const [wrong, setWrong] = useState(state.why);
  const asks = settings?.asks ?? true;
  const what = settings?.keys ? "API key" : "Operator’s token";
  const send = async () => {
    try {
      // Where nobody is asked, only what operators do tells whether it counts.
      await request(asks ? "/v1/me" : "/v1/admin/config", {}, key.trim());
      keepCredential(key.trim());
    } catch (error) {
      const { status, message } = asApiError(error);
      // It counts, and not for this: the pages tell what it may not do.
      if (status === 403 && asks) keepCredential(key.trim());
      else setWrong(status === 401 && !asks ? "This is not the token of this toolscout." : message);
    }
  };
  return (
    <form
      class="login"
      onSubmit={(event) => {
        event.preventDefault();
        if (key.trim()) send();
      }}
    >
      <h1>Log in</h1>
      <p>{asks ? "This toolscout asks who you are." : "Everybody may search here. Changing servers is for whoever runs this toolscout."}</p>
      {wrong && (
        <p class="failure" role="alert">
          {wrong}
        </p>
      )}
      {settings?.issuers.map((at) => (
        <button key={at.url} type="button" class="main" onClick={() => begin(at).catch((error) => setWrong(told(error)))}>
          Log in at {new URL(at.url).host}
        </button>
      ))}
      <label for="key">{what}</label>
      <input
        id="key"
        type="password"
        autocomplete="off"
        spellcheck={false}
        value={key}
        aria-invalid={Boolean(wrong)}
        onInput={(event) => setKey(event.currentTarget.value)}
      />
      <div class="row">
        <button type="submit">Log in</button>
        {!state.isNeeded && (
          <button type="button" onClick={state.leave}>
            Not now
          </button>
        )}
      </div>
      <p class="small">
        {settings?.keys && (
          <>
            A key is made by <code>toolscout key create</code>.{" "}
          </>
        )}
        Whoever runs this toolscout gets in by <code>toolscout console --open</code>.
      </p>
    </form>
  );
}

/** Where an authorization server sends the browser back to. */
export function ComeBack({ answer }: { answer: URLSearchParams | null }) {
  const { route } = useLocation();
  const [wrong, setWrong] = useState(answer ? "" : "There is nothing to finish here.");
  useEffect(() => {
    if (!answer) return;
    finish(answer)
      .then(({ token, grant, back }) => {
        keepCredential({ token, grant });
        route(back, true);
      })
      .catch((error) => setWrong(told(error)));
  }, [answer]);
  if (!wrong) {
    return (
      <p class="state" role="status">
        Logging in…
      </p>
    );
  }
  return (
    <div class="state failure" role="alert">
      <h1>The login failed</h1>
      <p>{wrong}</p>
      <a class="button" href="/">
        Begin again
      </a>
    </div>
  );
}

/** In the bar: to log in, or out. */
export function LoginButton({ ask }: { ask: () => void }) {
  return (
    <button type="button" class="quiet" onClick={kept() ? logOut : ask}>
      {kept() ? "Log out" : "Log in"}
    </button>
  );
}

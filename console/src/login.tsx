// Who one is: asked for where the server asks.
import { useEffect, useState } from "preact/hooks";
import { credential, keepCredential, onLogin } from "./api";

/** Whether a login is needed, and what the bar shows of it; `turn` changes with each one. */
export function useLogin() {
  const [isNeeded, setIsNeeded] = useState(false);
  const [turn, setTurn] = useState(0);
  useEffect(
    () =>
      onLogin((what) => {
        setIsNeeded(what === "refused");
        if (what === "credential") setTurn((turn) => turn + 1);
      }),
    [],
  );
  const bar = credential() && (
    <button type="button" class="quiet" onClick={() => keepCredential(null)}>
      Log out
    </button>
  );
  return { isNeeded, turn, bar };
}

export function Login() {
  const [key, setKey] = useState("");
  return (
    <form
      class="login"
      onSubmit={(event) => {
        event.preventDefault();
        if (key.trim()) keepCredential(key.trim());
      }}
    >
      <h1>Log in</h1>
      <p>This toolscout asks who you are. A key is made by “toolscout key create”.</p>
      <label for="key">API key</label>
      <input id="key" type="password" autocomplete="off" spellcheck={false} value={key} onInput={(event) => setKey(event.currentTarget.value)} />
      <button type="submit">Log in</button>
    </form>
  );
}

// What is not as it should be, on every page: as /readyz names it, looked at again and again.
import { useEffect, useState } from "preact/hooks";

const EVERY = 5_000;

interface Ready {
  ready: boolean;
  degraded: string[];
}

export function Degraded() {
  const [state, setState] = useState<Ready | "unreachable">();
  useEffect(() => {
    let timer = 0;
    let isGone = false;
    const look = async () => {
      try {
        const response = await fetch("/readyz", { cache: "no-store", credentials: "omit" });
        const body = await response.json();
        if (!isGone) setState({ ready: response.ok, degraded: body.degraded ?? [] });
      } catch {
        if (!isGone) setState("unreachable");
      }
      if (!isGone) timer = window.setTimeout(look, EVERY);
    };
    look();
    return () => {
      isGone = true;
      clearTimeout(timer);
    };
  }, []);
  const told =
    state === "unreachable" ? ["toolscout can't be reached: what is shown may be old"] : state && !state.ready ? ["Nothing can be searched yet", ...state.degraded] : (state?.degraded ?? []);
  return (
    <div class="degraded" role="status" data-degraded={told.length > 0}>
      {told.map((line) => (
        <p key={line}>{line}</p>
      ))}
    </div>
  );
}

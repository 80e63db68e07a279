// What a page shows while it has nothing else to: that it waits, what failed, that there is nothing.
import type { ComponentChildren } from "preact";
import { askForLogin, type ApiError } from "../api";

export function Waiting({ what }: { what: string }) {
  return (
    <p class="state" role="status">
      {what}…
    </p>
  );
}

export function Failure({ error, again }: { error: ApiError; again?: () => void }) {
  // Where one is asked at all, the login stands in place of the page: here one is asked for this alone.
  if (error.status === 401) {
    return (
      <div class="state" role="alert">
        <p>This is for whoever runs this toolscout.</p>
        <button type="button" onClick={askForLogin}>
          Log in
        </button>
      </div>
    );
  }
  return (
    <div class="state failure" role="alert">
      <p>{error.message}</p>
      {error.requestId && (
        <p class="small">
          In the log as <code>{error.requestId}</code>
        </p>
      )}
      {again && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="state">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

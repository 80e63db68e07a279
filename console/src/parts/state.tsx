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

/** What a page for operators shows to others, and what failed. */
export function Refusal({ page, error, again }: { page: string; error: ApiError; again: () => void }) {
  if (error.status === 404) {
    return (
      <Empty title={`${page} is not served here`}>
        <p>
          Administration has a listener of its own (<code>admin_listen</code> in <code>[auth]</code>), or the data folder can't be written. Open the console there.
        </p>
      </Empty>
    );
  }
  if (error.status !== 401 && error.status !== 403) return <Failure error={error} again={again} />;
  return (
    <Empty title={`${page} is for operators`}>
      <p>
        It wants the scope <code>admin</code>. Open the console by <code>toolscout console</code>, or log in with the token in <code>admin.token</code> of the data folder, or with a key made by
      </p>
      <pre>toolscout key create ops --scope search --scope call --scope admin</pre>
      <p>
        <button type="button" class="main" onClick={askForLogin}>
          Log in
        </button>
      </p>
    </Empty>
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

// What operators do, and what others are told who try.
import { askForLogin, asApiError, send, type ApiError } from "../../api";

export interface Said {
  text: string;
  isBad: boolean;
  /** They may not do that as who they are. */
  isRefused: boolean;
}

const NOT_ALLOWED = "That is for operators: log in with the operator’s token (admin.token in the data folder) or with a key that has the scope “admin”.";

/** Does it and says what came of it, in words for the page. */
export async function act<T>(method: "POST" | "DELETE", path: string, body: unknown, then: (answer: T) => string): Promise<Said> {
  try {
    return { text: then(await send<T>(method, path, body ?? {})), isBad: false, isRefused: false };
  } catch (error) {
    return refusal(asApiError(error));
  }
}

export function refusal({ status, message }: ApiError): Said {
  const isRefused = status === 401 || status === 403;
  return { text: isRefused ? NOT_ALLOWED : message, isBad: true, isRefused };
}

/** What came of it. */
export function Word({ said }: { said: Said | undefined }) {
  return (
    <div role="status" class={said?.isBad ? "failure" : ""}>
      {said?.text}{" "}
      {said?.isRefused && (
        <button type="button" onClick={askForLogin}>
          Log in
        </button>
      )}
    </div>
  );
}

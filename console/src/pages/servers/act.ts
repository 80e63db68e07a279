// What operators do, and what others are told who try.
import { asApiError, send } from "../../api";

export interface Said {
  text: string;
  isBad: boolean;
}

/** What is told somebody who may not do that. */
export const NOT_ALLOWED = "That is for operators. Log in with the operator’s token (admin.token in the data folder) or a key with the scope “admin”.";

/** Does it and says what came of it, in words for the page. */
export async function act<T>(method: "POST" | "DELETE", path: string, body: unknown, then: (answer: T) => string): Promise<Said> {
  try {
    return { text: then(await send<T>(method, path, body)), isBad: false };
  } catch (error) {
    return { text: refusal(error), isBad: true };
  }
}

export function refusal(error: unknown): string {
  const { status, message } = asApiError(error);
  return status === 401 || status === 403 ? NOT_ALLOWED : message;
}

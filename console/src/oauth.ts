// A login at an authorization server: authorization code and PKCE, in this tab.
//
// What proves that the answer is to our question (state, verifier) is kept in sessionStorage and is
// good once; the code comes back in the fragment where the authorization server can do that, so that
// it is in no log.
import * as oauth from "oauth4webapi";

const PENDING = "toolscout.login";
const REDIRECT = "/login";

/** Where one logs in, as /console/settings.json says. */
export interface LoginAt {
  url: string;
  client_id: string;
  scopes: string[];
  resource?: string;
}

/** What an access token came from. */
export interface Grant {
  at: LoginAt;
  refresh?: string | undefined;
  /** When it ends, in milliseconds since 1970. */
  until?: number | undefined;
}

interface Pending {
  at: LoginAt;
  state: string;
  verifier: string;
  back: string;
}

/** Goes to the authorization server, which sends the browser back to `/login`. */
export async function begin(at: LoginAt) {
  const server = await discover(at);
  if (!server.authorization_endpoint) throw new Error(`${at.url} says nowhere where one logs in`);
  const [state, verifier] = [oauth.generateRandomState(), oauth.generateRandomCodeVerifier()];
  const here = location.pathname === REDIRECT ? "/" : location.pathname + location.search;
  const pending: Pending = { at, state, verifier, back: here };
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  const url = new URL(server.authorization_endpoint);
  const params: Record<string, string> = {
    response_type: "code",
    client_id: at.client_id,
    redirect_uri: redirect(),
    scope: at.scopes.join(" "),
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  };
  if (at.resource) params.resource = at.resource;
  if (server.response_modes_supported?.includes("fragment")) params.response_mode = "fragment";
  // OpenID Connect gives nothing that lasts unless somebody said yes to it.
  if (at.scopes.includes("offline_access")) params.prompt = "consent";
  for (const [name, value] of Object.entries(params)) url.searchParams.set(name, value);
  location.assign(url);
}

/** Takes the answer of an authorization server out of the address, if there is one. */
export function takeAnswer(): URLSearchParams | null {
  if (location.pathname !== REDIRECT) return null;
  const said = new URLSearchParams(location.hash.length > 1 ? location.hash.slice(1) : location.search);
  if (!said.has("state")) return null;
  history.replaceState(history.state, "", REDIRECT);
  return said;
}

/** What the answer is good for, and where to go on. */
export async function finish(answer: URLSearchParams): Promise<{ token: string; grant: Grant; back: string }> {
  const pending: Pending | null = JSON.parse(sessionStorage.getItem(PENDING) ?? "null");
  sessionStorage.removeItem(PENDING);
  if (!pending) throw new Error("no login was begun in this tab");
  const { at, state, verifier, back } = pending;
  const [server, client] = [await discover(at), { client_id: at.client_id }];
  const checked = oauth.validateAuthResponse(server, client, answer, state);
  const options = { ...insecure(at), ...(at.resource && { additionalParameters: { resource: at.resource } }) };
  const response = await asked(at, () => oauth.authorizationCodeGrantRequest(server, client, oauth.None(), checked, redirect(), verifier, options));
  const given = await oauth.processAuthorizationCodeResponse(server, client, response);
  return { token: given.access_token, grant: grant(at, given), back };
}

/** Another token from the same grant. */
export async function renew({ at, refresh }: Grant): Promise<{ token: string; grant: Grant }> {
  if (!refresh) throw new Error("it can't be renewed");
  const [server, client] = [await discover(at), { client_id: at.client_id }];
  const options = { ...insecure(at), ...(at.resource && { additionalParameters: { resource: at.resource } }) };
  const response = await asked(at, () => oauth.refreshTokenGrantRequest(server, client, oauth.None(), refresh, options));
  const given = await oauth.processRefreshTokenResponse(server, client, response);
  return { token: given.access_token, grant: grant(at, given, refresh) };
}

/** Has the authorization server forget the grant, where it can. */
export async function revoke({ at, refresh }: Grant, token: string) {
  const server = await discover(at);
  if (server.revocation_endpoint) await oauth.revocationRequest(server, { client_id: at.client_id }, oauth.None(), refresh ?? token, insecure(at));
}

/** What went wrong, in words. */
export function told(error: unknown): string {
  if (error instanceof oauth.AuthorizationResponseError || error instanceof oauth.ResponseBodyError) return error.error_description ?? error.error;
  return error instanceof Error ? error.message : String(error);
}

function grant(at: LoginAt, given: oauth.TokenEndpointResponse, refresh?: string): Grant {
  const until = given.expires_in === undefined ? undefined : Date.now() + 1000 * given.expires_in;
  return { at, refresh: given.refresh_token ?? refresh, until };
}

function redirect(): string {
  return new URL(REDIRECT, location.origin).href;
}

/** Plain http is for an authorization server that the configuration names so: on this machine. */
function insecure(at: LoginAt) {
  return { [oauth.allowInsecureRequests]: new URL(at.url).protocol === "http:" };
}

async function discover(at: LoginAt): Promise<oauth.AuthorizationServer> {
  const url = new URL(at.url);
  const ask = (algorithm: "oauth2" | "oidc") => asked(at, () => oauth.discoveryRequest(url, { algorithm, ...insecure(at) }));
  const first = await ask("oauth2").catch(() => null);
  return oauth.processDiscoveryResponse(url, first?.ok ? first : await ask("oidc"));
}

/** A browser does not tell why a request failed. */
async function asked(at: LoginAt, request: () => Promise<Response>): Promise<Response> {
  try {
    return await request();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Error(`${new URL(at.url).host} can't be asked from here: is it running, and does it let pages of ${location.origin} ask (CORS)?`);
  }
}

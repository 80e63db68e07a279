// One server: how it does, what is wrong with it and what to do about that.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { LiveServer } from "../../live";
import { count } from "../../parts/count";
import { DetailHead } from "../../parts/split";
import { day, span } from "../../parts/time";
import { act, Word, type Said } from "./act";
import { Held } from "./held";
import { STATES, era } from "./states";

const CRAWLING = "It is being crawled.";

export function ServerDetail({ server, now, close }: { server: LiveServer; now: number; close: () => void }) {
  const [said, setSaid] = useState<Said>();
  // What was said of a crawl is over with it.
  useEffect(() => setSaid((before) => (before?.text === CRAWLING ? { ...before, text: server.error ? "It was tried again." : "It was crawled." } : before)), [server.listedAt, server.error]);
  const [isBusy, setIsBusy] = useState(false);
  const [loginAt, setLoginAt] = useState<string>();
  const { word, kind, means } = STATES[server.state];
  const path = `/v1/admin/servers/${encodeURIComponent(server.id)}`;
  const run = async (what: string, then: (answer: { login_url?: string }) => string) => {
    setIsBusy(true);
    setSaid(await act("POST", `${path}/${what}`, undefined, then));
    setIsBusy(false);
  };
  // Where everybody is asked who they are, an operator has an address made that counts once.
  const login = () =>
    run("login", ({ login_url }) => {
      setLoginAt(login_url);
      return "The login is ready: it counts once, for five minutes.";
    });
  const loginUrl = server.login_url ?? loginAt;
  // Nobody crawls it: what there is to do is done to the file.
  const isListed = server.transport === "file";
  return (
    <article class="card">
      <DetailHead title={server.title ?? server.id} close={close} />
      <p>
        <span class={`badge ${kind}`}>{word}</span> <span class="small">{means}</span>
      </p>
      {server.error && (
        <div class="server-error" role="alert">
          {server.error}
        </div>
      )}
      <div class="row">
        {server.state === "auth_required" &&
          (loginUrl ? (
            <a class="button" href={loginUrl} target="_blank" rel="noopener">
              {loginAt ? "Open the login" : "Log in"}
            </a>
          ) : (
            <button type="button" class="main" disabled={isBusy} onClick={login}>
              Log in
            </button>
          ))}
        {!isListed && <Crawls state={server.state} isBusy={isBusy} run={run} />}
        <a class="button" href={`/catalog?server=${encodeURIComponent(server.id)}`}>
          Its tools
        </a>
      </div>
      {isListed && <p class="small">Its tools are listed in a catalog file, which is read again when it changes.</p>}
      <Word said={said} />
      <dl class="facts">
        <Fact name="Id">
          <code>{server.id}</code>
        </Fact>
        <Fact name="Transport">{server.transport}</Fact>
        <Fact name="Protocol">{era(server)}</Fact>
        <Fact name="Tools">{server.tools === null ? "not known" : server.tools.toLocaleString("en")}</Fact>
        <Fact name="Last crawl">
          {server.listedAt === undefined ? neverListed(server, now) : <span title={day(server.listedAt)}>{span(now - server.listedAt)} ago</span>}
        </Fact>
        <Fact name="Next crawl">{server.nextAt === undefined ? "none is due" : soon(server.nextAt, now)}</Fact>
        {server.ttl_s !== undefined && <Fact name="Listing holds">{span(1000 * server.ttl_s)}, it says</Fact>}
        {server.private && <Fact name="For whom">whoever has these credentials</Fact>}
        {server.suspicious > 0 && <Fact name="Odd definitions">{server.suspicious.toLocaleString("en")}</Fact>}
      </dl>
      {server.defects && server.defects.length > 0 && (
        <details>
          <summary>{count(server.defects.length, "defect")} in its listing</summary>
          <ul>
            {server.defects.map((defect) => (
              <li key={defect}>{defect}</li>
            ))}
          </ul>
        </details>
      )}
      {server.held + server.quarantined > 0 && <Held server={server.id} held={server.held + server.quarantined} />}
    </article>
  );
}

function soon(at: number, now: number): string {
  return at <= now ? "now" : `in ${span(at - now)}`;
}

/** One that was tried in vain is told apart from one that was not tried yet. */
function neverListed({ state, error, nextAt }: LiveServer, now: number): string {
  const isTried = error !== undefined || state === "failed" || state === "auth_required";
  if (!isTried) return "none yet";
  return nextAt === undefined ? "none has succeeded yet" : `none has succeeded yet; it is tried again ${soon(nextAt, now)}`;
}

interface CrawlsProps {
  state: LiveServer["state"];
  isBusy: boolean;
  run: (what: string, then: () => string) => void;
}

function Crawls({ state, isBusy, run }: CrawlsProps) {
  const isIdle = state === "paused" || state === "disabled" || state === "pending_approval";
  return (
    <>
      <button type="button" disabled={isBusy || isIdle} onClick={() => run("refresh", () => CRAWLING)}>
        Crawl now
      </button>
      {state === "paused" ? (
        <button type="button" disabled={isBusy} onClick={() => run("resume", () => "Its crawls go on.")}>
          Resume
        </button>
      ) : (
        <button type="button" disabled={isBusy || isIdle} onClick={() => run("pause", () => "Its crawls are paused; its tools stay.")}>
          Pause
        </button>
      )}
    </>
  );
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

// What stands around every page: where one is, what is wrong, who one is, and the keys.
import { useEffect, useState } from "preact/hooks";
import { LocationProvider, Route, Router, useLocation } from "preact-iso";
import { askForLogin } from "./api";
import { Pulse, ViewSwitch } from "./bar";
import { Keys, useKeys } from "./keys";
import { ComeBack, Login, LoginButton, useLogin, useSettings } from "./login";
import { Activity } from "./pages/activity";
import { Catalog } from "./pages/catalog";
import { MapPage } from "./pages/map";
import { Quality } from "./pages/quality";
import { Search } from "./pages/search";
import { Servers } from "./pages/servers";
import { Degraded } from "./parts/degraded";
import { ThemeSwitch } from "./theme";
import { useVitals } from "./vitals";
import "./shell.css";

const PAGES = [
  { path: "/", name: "Search", key: "s", page: Search },
  { path: "/catalog", name: "Catalog", key: "c", page: Catalog },
  { path: "/servers", name: "Servers", key: "v", page: Servers },
  { path: "/quality", name: "Quality", key: "q", page: Quality },
  { path: "/map", name: "Map", key: "m", page: MapPage },
  { path: "/activity", name: "Activity", key: "a", page: Activity },
];

/** `answer` is what an authorization server said, where the browser comes from one. */
export function Shell({ answer }: { answer: URLSearchParams | null }) {
  return (
    <LocationProvider>
      <Frame answer={answer} />
    </LocationProvider>
  );
}

function Frame({ answer }: { answer: URLSearchParams | null }) {
  const { path } = useLocation();
  const [helps, setHelps] = useState(false);
  const settings = useSettings();
  const login = useLogin(settings);
  const vitals = useVitals();
  useKeys(PAGES, () => setHelps(true));
  // Who goes to a page wants that one.
  useEffect(login.leave, [path]);
  // Whoever comes back from a login is not asked meanwhile.
  const isBack = path === "/login";
  const asksWho = !isBack && (login.isNeeded || login.isWanted);
  const here = PAGES.find((page) => page.path === path);
  useEffect(() => {
    document.title = here && here.path !== "/" ? `${here.name} · toolscout` : "toolscout";
  }, [here]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => skip(event)}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="/" aria-label="toolscout, search">
          <img src="/console/icon.svg" alt="" width="24" height="24" />
          <span>toolscout</span>
        </a>
        <nav aria-label="Pages">
          {PAGES.map((page) => (
            <a key={page.path} href={page.path} aria-current={page.path === path ? "page" : undefined}>
              {page.name}
            </a>
          ))}
        </nav>
        {!asksWho && !isBack && (
          <div class="top-view" key={login.turn}>
            <Pulse vitals={vitals} />
            <ViewSwitch />
          </div>
        )}
        <div class="top-end">
          {settings && !asksWho && !isBack && <LoginButton ask={askForLogin} />}
          <ThemeSwitch />
          <button type="button" class="quiet" aria-label="Keys" title="Keys (?)" onClick={() => setHelps(true)}>
            ?
          </button>
        </div>
      </header>
      <Degraded vitals={vitals} />
      <main id="main" tabIndex={-1} key={login.turn}>
        {isBack ? (
          <ComeBack answer={answer} />
        ) : asksWho ? (
          <Login settings={settings} state={login} />
        ) : (
          <Router>
            {PAGES.map((page) => (
              <Route key={page.path} path={page.path} component={page.page} />
            ))}
            <Route default component={Nowhere} />
          </Router>
        )}
      </main>
      {helps && <Keys pages={PAGES} close={() => setHelps(false)} />}
    </>
  );
}

function skip(event: Event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Nowhere() {
  return (
    <div class="state">
      <h1>There is no such page</h1>
      <p>
        The pages are in the bar above; <a href="/">search</a> is the first.
      </p>
    </div>
  );
}

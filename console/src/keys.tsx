// The keys that do something on every page.
//
// They are single letters, which a voice that is taken for typing strikes by chance: so they can be
// switched off (WCAG 2.1.4).
import { useEffect, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { Dialog } from "./parts/dialog";

const KEPT = "toolscout.keys";

/** A page, and the letter after `g` that goes there. */
export interface Goal {
  path: string;
  name: string;
  key: string;
}

const areOn = () => localStorage.getItem(KEPT) !== "off";

/** `/` goes to the search, `?` shows the keys, `g` and a letter goes to a page. */
export function useKeys(pages: Goal[], help: () => void) {
  const { route, path } = useLocation();
  const went = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || !areOn()) return;
      if (event.key === "/") {
        event.preventDefault();
        const field = document.querySelector<HTMLElement>("[data-search]");
        if (field) field.focus();
        else route("/");
      } else if (event.key === "?") {
        help();
      } else if (event.key === "g") {
        went.current = event.timeStamp;
      } else if (event.timeStamp - went.current < 1500) {
        went.current = 0;
        const page = pages.find((page) => page.key === event.key);
        if (page) route(page.path);
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [route, path, pages, help]);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

export function Keys({ pages, close }: { pages: Goal[]; close: () => void }) {
  const [isOn, setIsOn] = useState(areOn);
  const keys = [
    ["/", "to the search field"],
    ["↑ ↓", "move in a list"],
    ["Enter", "open what is chosen"],
    ["Esc", "close, or leave the field"],
    ...pages.map((page) => [`g ${page.key}`, page.name]),
    ["?", "these keys"],
  ];
  const turn = (isOn: boolean) => {
    if (isOn) localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, "off");
    setIsOn(isOn);
  };
  return (
    <Dialog title="Keys" close={close}>
      <dl class="keys">
        {keys.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label class="row">
        <input type="checkbox" checked={isOn} onChange={(event) => turn(event.currentTarget.checked)} />
        Letters are keys
      </label>
    </Dialog>
  );
}

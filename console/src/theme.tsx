// Dark or light: as the system has it, until somebody chooses.
import { useLayoutEffect, useState } from "preact/hooks";

const KEPT = "toolscout.theme";
const NEXT = { system: "light", light: "dark", dark: "system" } as const;
type Theme = keyof typeof NEXT;

function kept(): Theme {
  const theme = localStorage.getItem(KEPT);
  return theme === "light" || theme === "dark" ? theme : "system";
}

export function ThemeSwitch() {
  const [theme, setTheme] = useState<Theme>(kept);
  useLayoutEffect(() => {
    if (theme === "system") {
      localStorage.removeItem(KEPT);
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem(KEPT, theme);
      document.documentElement.dataset.theme = theme;
    }
  }, [theme]);
  const mark = { system: "◐", light: "☀", dark: "☾" }[theme];
  return (
    <button type="button" class="quiet" aria-label={`Colours: ${theme}. Change to ${NEXT[theme]}`} title={`Colours: ${theme}`} onClick={() => setTheme(NEXT[theme])}>
      {mark}
    </button>
  );
}

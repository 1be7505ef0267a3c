// The header of both pages: theme, and whether what is shown is live.

import { find } from "./dom.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const NAMES = { auto: "as the system", light: "light", dark: "dark" };

function themeButton() {
  const button = find("#theme");
  const show = (theme) => {
    button.setAttribute("aria-label", `Theme: ${NAMES[theme]}. Change to ${NAMES[NEXT[theme]]}`);
    button.title = `Theme: ${NAMES[theme]}`;
    find("use", button).setAttribute("href", `/page/icons.svg#theme-${theme}`);
  };
  let theme = document.documentElement.dataset.theme ?? "auto";
  show(theme);
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    if (theme === "auto") {
      localStorage.removeItem("theme");
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem("theme", theme);
      document.documentElement.dataset.theme = theme;
    }
    show(theme);
  });
}

const STATES = { live: "Live", polling: "Asking every 2 s", lost: "No connection, trying again" };

/** "live", "polling" or "lost". */
export function showState(state) {
  const shown = find("#link-state");
  if (shown.dataset.state === state) return;
  shown.dataset.state = state;
  shown.title = STATES[state];
  find("span", shown).textContent = STATES[state];
}

themeButton();

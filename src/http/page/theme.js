// Light, dark, or as the system says.

import { at } from "./dom.js";

const KEY = "spikelens-theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const SIGN = { auto: "◐", light: "☀", dark: "☾" };

function apply(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = at("theme");
  button.textContent = SIGN[theme];
  const named = theme === "auto" ? "as the system" : theme;
  button.title = `Colours: ${named}`;
  button.setAttribute("aria-label", `Colours: ${named}. Change to ${NEXT[theme]}.`);
}

/** Sets the kept theme and lets the button change it. */
export function startTheme() {
  let theme = localStorage.getItem(KEY);
  if (!(theme in NEXT)) theme = "auto";
  apply(theme);
  at("theme").addEventListener("click", () => {
    theme = NEXT[theme];
    localStorage.setItem(KEY, theme);
    apply(theme);
  });
}

// How matches are arranged: in groups, and page by page.

import { at, h, show } from "./dom.js";

/** A ranking ends at so many products, and a page begins at so many at the latest. */
export const LAST = 1000;
const LAST_OFFSET = 900;
const MORE = 30;
const MOST = 100;

/** The page that follows `offset` matches; the last ones may begin before it. */
export function nextPage(offset) {
  if (offset + MORE <= LAST_OFFSET) return { offset, k: MORE };
  const from = Math.min(offset, LAST_OFFSET);
  return { offset: from, k: Math.min(MOST, LAST - from) };
}

/** The attribute by which matches are grouped. */
export class Groups {
  constructor(changed) {
    this.changed = changed;
    this.names = [];
    at("group").addEventListener("change", () => changed());
  }

  /** Its name; empty for none. */
  get name() {
    return at("group").disabled || at("group").value === "" ? "" : this.names[Number(at("group").value)];
  }

  /** Offers attributes. */
  offer(names) {
    if (names.join("\n") === this.names.join("\n")) return;
    const chosen = names.indexOf(this.name);
    this.names = names;
    at("group").replaceChildren(h("option", { value: "" }, "no groups"), ...names.map((name, index) => h("option", { value: index }, name)));
    at("group").value = chosen === -1 ? "" : chosen;
    show(at("group-field"), names.length > 0);
  }

  /** Whether groups can be made now. */
  enable(enabled) {
    at("group").disabled = !enabled;
    at("group").title = enabled ? "" : "A varied list has no groups";
  }

  none() {
    at("group").value = "";
  }
}

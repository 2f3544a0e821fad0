// The filter: fields made of the attributes that the products seen have, and the JSON that they write.

import { at, h } from "./dom.js";

/** Attributes that get a field, and values that are offered of one. */
const FIELDS = 8;
const VALUES = 60;

/** The filter's form. Its JSON text is the truth; the fields write it. */
export class Filters {
  constructor(changed) {
    this.changed = changed;
    this.known = new Map();
    this.products = new Set();
    let timer;
    at("filter-json").addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        this.read();
        this.changed();
      }, 350);
    });
    at("filter-clear").addEventListener("click", () => this.clear());
  }

  /** The JSON text as it goes to the server; empty for no filter. */
  get text() {
    return at("filter-json").value.trim();
  }

  /** The conditions, where the text is a JSON object. */
  get conditions() {
    try {
      const value = JSON.parse(this.text || "{}");
      return value && typeof value === "object" && !Array.isArray(value) ? value : null;
    } catch {
      return null;
    }
  }

  clear() {
    at("filter-json").value = "";
    this.read();
    this.changed();
  }

  /** Learns attributes of products; new ones get their fields. */
  learn(products) {
    let more = false;
    for (const product of products) {
      if (this.products.has(product.id)) continue;
      this.products.add(product.id);
      for (const [name, value] of Object.entries(product.attributes)) {
        for (const one of [value].flat()) more = this.note(name, one) || more;
      }
    }
    if (more) this.show();
  }

  note(name, value) {
    if (!this.known.has(name)) {
      if (this.known.size >= FIELDS) return false;
      this.known.set(name, { kind: typeof value, values: new Set(), least: Infinity, most: -Infinity });
    }
    const seen = this.known.get(name);
    if (seen.kind === "number") {
      const wider = value < seen.least || value > seen.most;
      seen.least = Math.min(seen.least, value);
      seen.most = Math.max(seen.most, value);
      return wider;
    }
    if (seen.values.has(value) || seen.values.size >= VALUES) return false;
    seen.values.add(value);
    return true;
  }

  show() {
    const focused = document.activeElement?.id;
    at("filter-fields").replaceChildren(...[...this.known].map(([name, seen], index) => this.field(name, seen, index)));
    this.read();
    if (focused?.startsWith("filter-field")) at(focused)?.focus();
  }

  field(name, seen, index) {
    const id = `filter-field-${index}`;
    const written = name.startsWith("$") ? `$${name}` : name;
    if (seen.kind === "number") {
      const bound = (operator, word, sign, figure) =>
        h("input", {
          type: "number", step: "any", id: operator === "gte" ? id : undefined, placeholder: `${sign} ${figure}`,
          "aria-label": `${name}: ${word}`, "data-name": written, "data-operator": operator, onchange: () => this.write(),
        });
      return h("div", { class: "field" }, h("label", { for: id }, name),
        h("span", { class: "bounds" }, bound("gte", "from", "≥", seen.least), bound("lte", "to", "≤", seen.most)));
    }
    const options = [...seen.values].sort((a, b) => String(a).localeCompare(String(b)));
    return h("div", { class: "field" }, h("label", { for: id }, name),
      h("select", { id, "data-name": written, onchange: () => this.write() },
        h("option", { value: "" }, "any"),
        ...options.map((value) => h("option", { value: JSON.stringify(value) }, String(value)))));
  }

  get fields() {
    return [...at("filter-fields").querySelectorAll("[data-name]")];
  }

  /** The fields' conditions into the text; conditions on what has no field stay. */
  write() {
    const conditions = this.conditions ?? {};
    const given = new Map();
    for (const field of this.fields) {
      const { name, operator } = field.dataset;
      if (!given.has(name)) given.set(name, undefined);
      if (field.value === "") continue;
      if (operator) given.set(name, { ...given.get(name), [operator]: Number(field.value) });
      else given.set(name, JSON.parse(field.value));
    }
    for (const [name, condition] of given) {
      if (condition === undefined) delete conditions[name];
      else conditions[name] = condition;
    }
    at("filter-json").value = Object.keys(conditions).length ? JSON.stringify(conditions) : "";
    this.count();
    this.changed();
  }

  /** The text's conditions into the fields, as far as they can show them. */
  read() {
    const conditions = this.conditions ?? {};
    for (const field of this.fields) {
      const condition = conditions[field.dataset.name];
      const value = field.dataset.operator ? condition?.[field.dataset.operator] : condition;
      field.value = value === undefined ? "" : field.dataset.operator ? value : JSON.stringify(value);
      if (field.value === "" || field.selectedIndex === -1) field.value = "";
    }
    this.count();
  }

  count() {
    const count = this.text ? Object.keys(this.conditions ?? { unread: true }).length : 0;
    at("filter-count").textContent = count ? `${count} on` : "";
  }

  /** Shows the server's refusal beside the text, or takes it away. */
  refuse(detail) {
    at("filter-said").textContent = detail ?? "";
    at("filter-json").setAttribute("aria-invalid", Boolean(detail));
    if (detail) at("filters").open = true;
  }
}

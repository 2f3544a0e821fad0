// The filter: fields made of the attributes that the products seen have, and the JSON that they write.

import { Attributes, repeats } from "./attributes.js";
import { at, h, show, whole } from "./dom.js";

/** Values of an attribute that are shown until all are asked for. */
const SHOWN = 10;
/** Values that the service counts of an attribute at most. */
const COUNTED = 100;

/** An attribute's name as a filter has it: a `$` at its beginning is doubled. */
const written = (name) => (name.startsWith("$") ? `$${name}` : name);

/** The values that a condition chooses; null where ticks cannot show it. */
function choices(condition) {
  if (condition === undefined) return [];
  if (["string", "number", "boolean"].includes(typeof condition)) return [condition];
  const only = condition && Object.keys(condition).join() === "in";
  return only && Array.isArray(condition.in) ? condition.in : null;
}

/** The filter's form. Its JSON text is the truth; fields and ticks show it and write it. */
export class Filters {
  constructor(changed) {
    this.changed = changed;
    this.attributes = new Attributes();
    /** What was counted last: values with their counts by attribute, and how many products pass. */
    this.counts = new Map();
    this.total = undefined;
    /** Attributes of which all values are shown. */
    this.whole = new Set();
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

  /** The conditions, where the text is a JSON object; without a prototype, for attributes of any name. */
  get conditions() {
    try {
      const value = JSON.parse(this.text || "{}");
      const right = value && typeof value === "object" && !Array.isArray(value);
      return right ? Object.assign(Object.create(null), value) : null;
    } catch {
      return null;
    }
  }

  /** The attributes whose values are counted. */
  get facets() {
    return this.attributes.facets;
  }

  /** Those of them that have a tick. */
  get ticked() {
    const conditions = this.conditions ?? {};
    return this.facets.filter((name) => choices(conditions[written(name)])?.length);
  }

  /** The text without an attribute's condition. */
  without(name) {
    const conditions = this.conditions;
    delete conditions[written(name)];
    return Object.keys(conditions).length ? JSON.stringify(conditions) : "";
  }

  clear() {
    at("filter-json").value = "";
    this.read();
    this.changed();
  }

  /** Learns attributes of products; new ones get their fields. */
  learn(products) {
    if (this.attributes.learn(products)) this.show();
  }

  /** Takes an answer's counts. Those of attributes with a tick are narrowed to what is ticked: `counted` brings their own. */
  count(answer) {
    const ticked = new Set(this.ticked);
    this.total = answer.total;
    for (const [name, values] of Object.entries(answer.facets ?? {})) {
      if (!ticked.has(name) || !this.counts.has(name)) this.counts.set(name, values);
    }
    for (const name of this.facets) this.showValues(name);
  }

  /** Counts the values of each attribute with a tick as if it had none, by `ask`, which takes a filter and a name: one more
   * value can be ticked only where its count is shown. A search along an embedding without its matches is cheap: nothing is
   * emulated, and the service keeps counts until the next write. The other attributes' counts follow the whole filter. */
  async countOwn(ask) {
    await Promise.all(this.ticked.map(async (name) => {
      const answer = await ask(this.without(name), name);
      this.counts.set(name, new Map(Object.entries(answer.facets)).get(name) ?? []);
      this.showValues(name);
    }));
  }

  /** How many products have a value, where it was counted. */
  countOf(name, value) {
    return this.counts.get(name)?.find((one) => one.value === value)?.count;
  }

  show() {
    const { name, operator, value } = document.activeElement?.dataset ?? {};
    at("filter-fields").replaceChildren(...[...this.attributes.known].map(([name, seen], index) => this.field(name, seen, index)));
    this.read();
    if (name !== undefined) {
      this.fields.find((field) => field.dataset.name === name && field.dataset.operator === operator && field.dataset.value === value)?.focus();
    }
  }

  field(name, seen, index) {
    const id = `filter-field-${index}`;
    const put = written(name);
    if (seen.kind === "number") {
      const bound = (operator, word, sign, figure) =>
        h("input", {
          type: "number", step: "any", id: operator === "gte" ? id : undefined, placeholder: `${sign} ${figure}`,
          "aria-label": `${name}: ${word}`, "data-name": put, "data-operator": operator, onchange: () => this.writeBounds(put),
        });
      return h("div", { class: "field" }, h("label", { for: id }, name),
        h("span", { class: "bounds" }, bound("gte", "from", "≥", seen.least), bound("lte", "to", "≤", seen.most)));
    }
    if (repeats(seen)) return h("fieldset", { class: "facet", "data-facet": name }, h("legend", {}, name), h("div", { class: "ticks" }));
    const options = [...seen.values].sort((a, b) => String(a).localeCompare(String(b)));
    return h("div", { class: "field" }, h("label", { for: id }, name),
      h("select", {
        id, "data-name": put,
        onchange: (event) => this.write(put, event.target.value === "" ? undefined : JSON.parse(event.target.value)),
      },
      h("option", { value: "" }, "any"),
      ...options.map((value) => h("option", { value: JSON.stringify(value) }, String(value)))));
  }

  /** The values of an attribute with their ticks: those counted, and those ticked that no product has now. */
  showValues(name) {
    const box = [...at("filter-fields").querySelectorAll("[data-facet]")].find((one) => one.dataset.facet === name);
    if (!box) return;
    const condition = (this.conditions ?? {})[written(name)];
    const chosen = choices(condition);
    const ticked = new Map((chosen ?? []).map((value) => [JSON.stringify(value), value]));
    const counted = this.counts.get(name) ?? [];
    const values = counted.map(({ value, count }) => ({ value, count, key: JSON.stringify(value) }));
    const known = new Set(values.map((one) => one.key));
    for (const [key, value] of ticked) {
      if (!known.has(key)) values.push({ value, key, count: counted.length < COUNTED ? 0 : undefined });
    }
    const all = this.whole.has(name) || values.length <= SHOWN + 1;
    const shown = all ? values : values.filter(({ key }, index) => index < SHOWN || ticked.has(key));
    const focused = box.contains(document.activeElement) ? document.activeElement.dataset.value : undefined;
    const ticks = shown.map(({ value, key, count }) =>
      h("label", { class: "tick" },
        h("input", {
          type: "checkbox", "data-name": written(name), "data-value": key, checked: ticked.has(key),
          onchange: (event) => this.tick(name, value, event.target.checked),
        }),
        h("span", {}, String(value)), count === undefined ? null : h("small", {}, whole(count))));
    const more = values.length - shown.length;
    const turn = (words, open) =>
      h("button", {
        type: "button", class: "link", onclick: () => {
          if (open) this.whole.add(name);
          else this.whole.delete(name);
          this.showValues(name);
          box.querySelector(open ? `.tick:nth-of-type(${SHOWN + 1}) input` : "button")?.focus();
        },
      }, words);
    const rest = more ? turn(`${more} more`, true) : values.length > SHOWN + 1 ? turn("Fewer", false) : null;
    // What ticks cannot show is shown as it is written.
    const other = chosen === null ? h("code", { class: "other" }, JSON.stringify(condition)) : null;
    box.querySelector(".ticks").replaceChildren(...[other, ...ticks, rest].filter(Boolean));
    if (focused !== undefined) [...box.querySelectorAll("input")].find((one) => one.dataset.value === focused)?.focus();
    // One value that every product has divides nothing.
    const idle = condition === undefined && values.length === 1 && values[0].count === this.total;
    show(box, values.length > 0 && !idle);
  }

  get fields() {
    return [...at("filter-fields").querySelectorAll("[data-name]")];
  }

  /** Ticks a value of an attribute, or takes its tick away. */
  tick(name, value, on) {
    const chosen = choices((this.conditions ?? {})[written(name)]) ?? [];
    const left = chosen.filter((one) => JSON.stringify(one) !== JSON.stringify(value));
    if (on) left.push(value);
    this.write(written(name), left.length > 1 ? { in: left } : left[0]);
  }

  writeBounds(name) {
    const before = (this.conditions ?? {})[name];
    const condition = before && typeof before === "object" && !Array.isArray(before) ? before : {};
    for (const field of this.fields.filter((field) => field.dataset.name === name)) {
      if (field.value === "") delete condition[field.dataset.operator];
      else condition[field.dataset.operator] = Number(field.value);
    }
    this.write(name, Object.keys(condition).length ? condition : undefined);
  }

  /** An attribute's condition into the text, or out of it; the others stay. */
  write(name, condition) {
    const conditions = this.conditions ?? Object.create(null);
    if (condition === undefined) delete conditions[name];
    else conditions[name] = condition;
    at("filter-json").value = Object.keys(conditions).length ? JSON.stringify(conditions) : "";
    this.read();
    this.changed();
  }

  /** The text's conditions into fields and ticks, as far as they can show them. */
  read() {
    const conditions = this.conditions ?? {};
    for (const field of this.fields.filter((field) => field.dataset.value === undefined)) {
      const condition = conditions[field.dataset.name];
      const value = field.dataset.operator ? condition?.[field.dataset.operator] : condition;
      field.value = value === undefined ? "" : field.dataset.operator ? value : JSON.stringify(value);
      if (field.value === "" || field.selectedIndex === -1) field.value = "";
    }
    for (const name of this.facets) this.showValues(name);
    const count = this.text ? Object.keys(this.conditions ?? { unread: true }).length : 0;
    at("filter-count").textContent = count ? `${count} on` : "";
    show(at("filter-clear"), this.text !== "");
  }

  /** Shows the server's refusal beside the text, or takes it away. */
  refuse(detail) {
    at("filter-said").textContent = detail ?? "";
    at("filter-json").setAttribute("aria-invalid", Boolean(detail));
    if (detail) at("filters").open = at("filter-text").open = true;
  }
}

/** Shows the filter at once where there is room for it. */
export const openFilters = () => {
  at("filters").open = matchMedia("(min-width: 821px)").matches;
};

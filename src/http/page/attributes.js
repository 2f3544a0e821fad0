// The attributes of the products seen: the service has no list of their names, so the page learns them from products.

/** Attributes that are offered to filter and to group by, and values that are kept of one. */
const MOST = 8;
const VALUES = 60;
/** Values that are few however many products have them. */
const FEW = 12;

/** Kind and values of each attribute, by name, in the order in which they were seen. */
export class Attributes {
  constructor() {
    this.known = new Map();
    this.products = new Set();
  }

  /** Learns from products; true if something is new. */
  learn(products) {
    let more = false;
    for (const product of products) {
      if (this.products.has(product.id)) continue;
      this.products.add(product.id);
      for (const [name, value] of Object.entries(product.attributes)) {
        for (const one of [value].flat()) more = this.note(name, one) || more;
      }
    }
    return more;
  }

  note(name, value) {
    if (!this.known.has(name)) {
      if (this.known.size >= MOST) return false;
      this.known.set(name, { kind: typeof value, count: 0, values: new Set(), many: false, least: Infinity, most: -Infinity });
    }
    const seen = this.known.get(name);
    seen.count += 1;
    if (seen.kind === "number") {
      const wider = value < seen.least || value > seen.most;
      seen.least = Math.min(seen.least, value);
      seen.most = Math.max(seen.most, value);
      return wider;
    }
    if (seen.values.has(value)) return false;
    seen.many ||= seen.values.size >= VALUES;
    if (!seen.many) seen.values.add(value);
    return true;
  }

  /** The names of those whose values repeat, such as a category's: the others, such as an article number, divide the
   * catalogue into single products, and counting them would cost the server most. */
  get facets() {
    return [...this.known].filter(([, seen]) => repeats(seen)).map(([name]) => name);
  }
}

/** Whether an attribute's values are worth a tick each. */
export const repeats = ({ kind, many, values, count }) =>
  kind !== "number" && !many && (values.size <= FEW || 2 * values.size <= count);

// The catalogue's page: its products, page by page and filtered, and all that is known of one.

import { Refusal, address, json, lazily, namedAddress, picturePath, productPath } from "./api.js";
import { startDetails } from "./details.js";
import { at, h, show, whole } from "./dom.js";
import { Filters, openFilters } from "./filters.js";
import { OneAtATime, tell } from "./notices.js";
import { startTheme } from "./theme.js";

/** Products that are asked for at a time. */
const LIMIT = 48;
/** How long the page waits for more of the same gesture before it asks. */
const PAUSE_MS = 60;

/** The cursor of the next page. */
let after;
/** A product that is there whatever is filtered: counts are asked for along it. */
let anchor = null;
let timer = null;

const filters = new Filters(() => {
  clearTimeout(timer);
  timer = setTimeout(() => work(begin), PAUSE_MS);
});
const works = new OneAtATime(filters, refused);

/** Does one thing in place of what is still under way. */
function work(task) {
  clearTimeout(timer);
  return works.run(task);
}

function refused(error) {
  if (error instanceof Refusal && error.about("filter")) filters.refuse(error.detail);
  else tell(error, () => work(begin));
}

/** Shows the first page of what passes the filter. */
async function begin(signal) {
  const filter = filters.text;
  const page = await json(address("/v1/products", { limit: LIMIT, filter }), { signal });
  anchor ??= page.products[0] ?? null;
  signal.throwIfAborted();
  after = page.next;
  at("products").replaceChildren(...page.products.map(card));
  filters.learn(page.products);
  show(at("more"), after);
  await count(filter, signal);
  say();
}

async function more(signal) {
  const page = await json(address("/v1/products", { limit: LIMIT, after, filter: filters.text }), { signal });
  signal.throwIfAborted();
  after = page.next;
  const cards = page.products.map(card);
  at("products").append(...cards);
  filters.learn(page.products);
  show(at("more"), after);
  say();
  cards[0]?.querySelector("a").focus({ preventScroll: true });
}

/** Counts what passes: only searches count, and one along a stored product emulates nothing and needs no picture. */
async function count(filter, signal) {
  if (!anchor) return;
  const along = (filter, names) =>
    json(address(`${productPath(anchor.id)}/similar`, { k: 1, fields: "[]", filter, facets: JSON.stringify(names) }), { signal });
  try {
    filters.count(await along(filter, filters.facets));
    await filters.countOwn((filter, name) => along(filter, [name]));
  } catch (error) {
    if (error.code !== "not_found") throw error;
    // It was removed meanwhile.
    anchor = null;
    const [product] = (await json(address("/v1/products", { limit: 1 }), { signal })).products;
    if (!product) return;
    anchor = product;
    await count(filter, signal);
  }
}

function say() {
  const shown = at("products").childElementCount;
  const filtered = filters.text ? " that pass the filter" : "";
  if (!anchor && !filters.text) {
    at("said").textContent = "The catalogue is empty. Products come in by POST /v1/imports, or by `spikelens import` before the server starts.";
  } else {
    at("said").textContent = shown ? `${whole(shown)} of ${whole(Math.max(filters.total ?? 0, shown))} products${filtered}` : `No product${filtered}`;
  }
}

function card(product) {
  const title = product.title || product.id;
  const image = h("img", { alt: "", width: 150, height: 150, decoding: "async" });
  image.addEventListener("load", () => image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) < 64));
  lazily(image, picturePath(product.id, product.pictures[0].id));
  return h("li", {}, h("a", { class: "match", href: namedAddress("", product.id), title: product.id },
    h("span", { class: "picture" }, image),
    h("span", { class: "name" }, h("span", { class: "title" }, title))));
}

startTheme();
openFilters();
startDetails((error) => tell(error, () => work(begin)));
at("more").addEventListener("click", () => work(more));
work(begin);

// The catalogue's beginning and the answer to its first product, asked for while the rest of the page is on its way.

import { address, ask, json, namedProduct, picturePath } from "./api.js";
import { Attributes } from "./attributes.js";

/** Products that are shown. */
export const K = 15;
/** Products of the strip that are asked for at a time. */
export const STRIP = 24;

const page = json(address("/v1/products", { limit: STRIP }));

async function search() {
  const { products } = await page;
  const [product] = products;
  // An address that names a product wants its answer instead.
  if (!product || namedProduct()) return null;
  const attributes = new Attributes();
  attributes.learn(products);
  const [{ id, content_type: type }] = product.pictures;
  const body = await (await ask(picturePath(product.id, id))).blob();
  const path = address("/v1/search", { k: K, facets: JSON.stringify(attributes.facets), embedding: "true", trace: "true" });
  return { product: product.id, answer: await json(path, { method: "POST", body, type }) };
}

const answer = search();
// A refusal of the page is told once it is asked for; that of the answer, where it is asked for again.
page.catch(() => {});
answer.catch(() => {});

/** Each of them for whoever asks first; later ones ask the server. */
const left = { page, answer };

function take(name) {
  const taken = left[name];
  left[name] = null;
  return taken;
}

/** The catalogue's first page. */
export const firstPage = () => take("page");

/** The answer to that product's picture with nothing but the defaults; null where it is of another one, gone or refused. */
export async function firstAnswer(product) {
  const taken = await take("answer")?.catch(() => null);
  return taken && taken.product === product ? taken.answer : null;
}

// The products found, best first, and what can be said of each.

import { picture, picturePath } from "./api.js";
import { at, h } from "./dom.js";

/** Cards by product and picture, so that a picture on screen is not loaded again. */
let cards = new Map();

function card(found, act) {
  const { product } = found;
  const title = product.title || product.id;
  const image = h("img", { alt: "", width: 140, height: 140, decoding: "async" });
  image.addEventListener("load", () => image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) < 64));
  picture(image, picturePath(found.product_id, found.picture_id));
  const score = h("span", { class: "score" });
  const opinion = (name, sign, words) =>
    h("button", {
      type: "button", class: `opinion ${name}`, title: words, "aria-label": `${words}: ${title}`,
      onclick: (event) => act[name](product, event.currentTarget),
    }, h("span", { "aria-hidden": "true" }, sign), h("span", { class: "word" }, name === "like" ? " More" : " Less"));
  const attributes = Object.entries(product.attributes).map(([name, value]) => `${name}: ${[value].flat().join(", ")}`);
  const element = h("li", { class: "match", "data-product": found.product_id },
    h("button", {
      type: "button", class: "picture", title: `Search with this picture\n${attributes.join("\n")}`,
      "aria-label": `Search with ${title}`, onclick: () => act.pick(product, found.picture_id),
    }, image),
    h("div", { class: "between name" }, h("span", { class: "title", title: `${title}\n${product.id}` }, title), score),
    h("div", { class: "opinions" }, opinion("like", "+", "More like this"), opinion("unlike", "−", "Less like this")));
  return { element, score };
}

/** Shows the matches; `act` has pick, like and unlike, `itself` the id of the product that is searched with. */
export function showMatches(matches, act, itself) {
  const kept = new Map();
  const elements = matches.map((found) => {
    const name = `${found.product_id}\n${found.picture_id}`;
    const shown = cards.get(name) ?? card(found, act);
    kept.set(name, shown);
    const same = found.product_id === itself;
    shown.score.textContent = same ? "itself" : found.score.toFixed(3);
    shown.score.title = `Cosine similarity ${found.score.toFixed(6)}`;
    return shown.element;
  });
  cards = kept;
  at("matches").replaceChildren(...elements);
}

/** Takes all away, for instance where a picture was refused. */
export function clearMatches() {
  cards = new Map();
  at("matches").replaceChildren();
}

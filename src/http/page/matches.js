// The products found, best first, and what can be said of each.

import { namedAddress, picture, picturePath } from "./api.js";
import { at, h, show, whole } from "./dom.js";

/** Cards by product and picture, so that a picture on screen is not loaded again. */
let cards = new Map();

function card(found, act) {
  const { product } = found;
  const title = product.title || product.id;
  const image = h("img", { alt: "", width: 140, height: 140, decoding: "async" });
  image.addEventListener("load", () => image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) < 64));
  picture(image, picturePath(found.product_id, found.picture_id));
  const score = h("span", { class: "score" });
  const group = h("p", { class: "stack-name" });
  const opinion = (name, sign, words) =>
    h("button", {
      type: "button", class: `opinion ${name}`, title: words, "aria-label": `${words}: ${title}`,
      onclick: (event) => act[name](product, event.currentTarget),
    }, h("span", { "aria-hidden": "true" }, sign), h("span", { class: "word" }, name === "like" ? " More" : " Less"));
  const attributes = Object.entries(product.attributes).map(([name, value]) => `${name}: ${[value].flat().join(", ")}`);
  const element = h("li", { class: "match", "data-product": found.product_id },
    group,
    h("button", {
      type: "button", class: "picture", title: `Search with this picture\n${attributes.join("\n")}`,
      "aria-label": `Search with ${title}`, onclick: () => act.pick(product, found.picture_id),
    }, image),
    h("div", { class: "between name" },
      h("a", { class: "title", href: namedAddress("/catalogue", product.id), title: `${title}\n${product.id}: all that is known of it` }, title),
      score),
    h("div", { class: "opinions" }, opinion("like", "+", "More like this"), opinion("unlike", "−", "Less like this")));
  return { element, group, score };
}

/** A group's name over its best product; where it is one value, it opens the group. */
function groupName(found, { name, countOf, open }) {
  const value = found.group;
  if (value === null) return [h("span", { class: "none" }, `no ${name}`)];
  const count = countOf(value);
  const text = [value].flat().join(", ");
  const label = Array.isArray(value)
    ? h("span", {}, text)
    : h("button", { type: "button", class: "link", title: `All of ${name}: ${text}`, onclick: () => open(value) }, text);
  return [label, count === undefined ? null : h("small", {}, whole(count))].filter(Boolean);
}

/** Shows the matches; `act` has pick, like and unlike, `itself` the id of the product that is searched with, and `groups`,
 * where each match is the best of a group, the attribute's name, `countOf` a value and `open`. */
export function showMatches(matches, act, itself, groups) {
  const kept = new Map();
  const elements = matches.map((found) => {
    const name = `${found.product_id}\n${found.picture_id}`;
    const shown = cards.get(name) ?? card(found, act);
    kept.set(name, shown);
    const same = found.product_id === itself;
    shown.score.textContent = same ? "itself" : found.score.toFixed(3);
    shown.score.title = `Cosine similarity ${found.score.toFixed(6)}`;
    shown.element.classList.toggle("stack", Boolean(groups) && found.group !== null);
    shown.group.replaceChildren(...(groups ? groupName(found, groups) : []));
    show(shown.group, groups);
    return shown.element;
  });
  cards = kept;
  const list = at("matches");
  // What is on screen stays where more comes after it, with the focus in it.
  const longer = [...list.children].every((element, index) => element === elements[index]);
  if (longer) list.append(...elements.slice(list.children.length));
  else list.replaceChildren(...elements);
}

/** Takes all away, for instance where a picture was refused. */
export function clearMatches() {
  cards = new Map();
  at("matches").replaceChildren();
}

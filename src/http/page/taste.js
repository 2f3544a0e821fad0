// Products liked and disliked: they replace the picture as what is searched for.

import { picture, picturePath } from "./api.js";
import { at, h, show } from "./dom.js";

/** What is liked and what is not. */
export class Taste {
  constructor(changed) {
    this.changed = changed;
    this.positive = new Map();
    this.negative = new Map();
    this.diversity = 0;
    at("diversity").addEventListener("input", (event) => {
      this.diversity = Number(event.target.value);
      at("diversity-now").textContent = this.diversity;
      changed();
    });
    at("taste-clear").addEventListener("click", () => {
      this.clear();
      changed();
      at("found-title").focus();
    });
  }

  /** Whether products are searched by instead of the picture. */
  get active() {
    return this.positive.size > 0;
  }

  /** Forgets all of it. */
  clear() {
    this.positive.clear();
    this.negative.clear();
    this.show();
  }

  like(product) {
    this.negative.delete(product.id);
    this.positive.set(product.id, product);
    this.show();
    this.changed();
  }

  /** Away from a product; where nothing is liked yet, `stand` is taken for what is. */
  unlike(product, stand) {
    this.positive.delete(product.id);
    this.negative.set(product.id, product);
    if (!this.active && stand) this.positive.set(stand.id, stand);
    if (!this.active) this.negative.clear();
    this.show();
    this.changed();
  }

  /** Whether matches are to differ from one another: then they are one list, without pages and groups. */
  get varied() {
    return this.active && this.diversity > 0;
  }

  /** What `POST /v1/recommend` is sent of it. */
  get body() {
    const body = { positive: [...this.positive.keys()] };
    if (this.negative.size) body.negative = [...this.negative.keys()];
    if (this.diversity) body.diversity = this.diversity;
    return body;
  }

  show() {
    show(at("taste"), this.active);
    const chips = (products, word, sign) =>
      [...products.values()].map((product) => {
        const image = h("img", { alt: "", width: 28, height: 28 });
        picture(image, picturePath(product.id, product.pictures[0].id));
        const title = product.title || product.id;
        return h("li", { class: word }, image, h("span", {}, `${sign} ${title}`),
          h("button", {
            type: "button", "aria-label": `No longer ${word}: ${title}`, onclick: () => this.forget(product.id),
          }, "×"));
      });
    at("tastes").replaceChildren(...chips(this.positive, "liked", "+"), ...chips(this.negative, "disliked", "−"));
  }

  forget(id) {
    this.positive.delete(id);
    this.negative.delete(id);
    // Away from something alone is nowhere.
    if (!this.active) this.negative.clear();
    this.show();
    this.changed();
    (at("tastes").querySelector("button") ?? at("found-title")).focus();
  }
}

// Where the picture comes from: a file chosen, dropped or pasted, a drawing, or a product of the catalogue.

import { address, ask, json, picture, picturePath } from "./api.js";
import { at, h, show } from "./dom.js";
import { STRIP, firstPage } from "./first.js";

/** Pictures below this many pixels a side are shown pixel by pixel. */
const SMALL = 64;

let shownUrl = null;

/** A picture of this machine as a query: its kind is file, pasted or drawing. Only the first has a file already; the
 * others get the name of one for the shell. */
export function ofBlob(kind, blob, name) {
  const type = blob.type || "application/octet-stream";
  const ending = type === "image/jpeg" ? "jpg" : type.split("/")[1];
  const file = { file: name, pasted: `picture.${ending}`, drawing: `drawing.${ending}` }[kind];
  return { kind, name, file, type, blob: async () => blob };
}

/** A product's first picture, or the one named, as a query. */
export function ofProduct(product, pictureId = product.pictures[0].id) {
  const stored = product.pictures.find((one) => one.id === pictureId) ?? product.pictures[0];
  const path = picturePath(product.id, stored.id);
  return {
    kind: "product",
    name: product.title || product.id,
    type: stored.content_type,
    product,
    path,
    blob: async (signal) => (await ask(path, { signal })).blob(),
  };
}

/** Shows a query's picture as it is. */
export async function showOriginal(query) {
  const image = at("original");
  if (shownUrl) URL.revokeObjectURL(shownUrl);
  shownUrl = null;
  image.alt = query.kind === "drawing" ? "Your drawing" : `The picture searched for: ${query.name}`;
  at("original-name").textContent = query.name;
  at("original-name").title = query.name;
  show(image, true);
  if (query.path) {
    delete image.dataset.broken;
    picture(image, query.path);
    return;
  }
  shownUrl = URL.createObjectURL(await query.blob());
  image.dataset.path = "";
  image.src = shownUrl;
}

function startOriginal() {
  const image = at("original");
  image.addEventListener("load", () => {
    image.classList.toggle("pixels", Math.max(image.naturalWidth, image.naturalHeight) < SMALL);
    show(image, true);
  });
  image.addEventListener("error", () => show(image, false));
  const prepared = at("prepared");
  prepared.addEventListener("load", () => {
    prepared.title = `${prepared.naturalWidth} × ${prepared.naturalHeight} pixels`;
  });
}

/** Listens for files; `given` gets a query for each. */
export function startFiles(given) {
  startOriginal();
  const take = (file, kind = "file") => {
    if (file) given(ofBlob(kind, file, kind === "pasted" ? "Pasted picture" : file.name));
  };
  at("choose").addEventListener("click", () => at("file").click());
  at("drop").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", (event) => {
    take(event.target.files[0]);
    // The same file may be chosen again after it was changed.
    event.target.value = "";
  });
  addEventListener("paste", (event) => {
    const item = [...(event.clipboardData?.items ?? [])].find((item) => item.kind === "file");
    if (item) {
      event.preventDefault();
      take(item.getAsFile(), "pasted");
    }
  });
  const over = (event) => {
    if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dragging");
  };
  addEventListener("dragenter", over);
  addEventListener("dragover", over);
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  addEventListener("drop", (event) => {
    document.body.classList.remove("dragging");
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
}

/** The catalogue's strip: the first products, and more of them on demand. */
export class Strip {
  constructor(picked, seen) {
    this.picked = picked;
    this.seen = seen;
    this.more = h("button", { type: "button", class: "more", onclick: () => this.next() }, "More");
    this.failed = () => {};
  }

  /** The catalogue's first products, none of an empty one. They are shown by `show`: their pictures are many, and
   * would be loaded before the answer to the first of them. */
  async first() {
    this.after = undefined;
    this.page = await this.load();
    return this.page[0];
  }

  /** Shows them in place of what was there. */
  show(marked) {
    at("strip").replaceChildren();
    this.add(this.page);
    this.mark(marked);
  }

  async load() {
    const page = await (firstPage() ?? json(address("/v1/products", { limit: STRIP, after: this.after })));
    this.after = page.next;
    return page.products;
  }

  add(products) {
    this.more.parentElement?.remove();
    at("strip").append(...products.map((product) => this.item(product)));
    if (this.after) at("strip").append(h("li", {}, this.more));
    this.seen(products);
  }

  async next() {
    try {
      const products = await this.load();
      this.add(products);
      at("strip").querySelector(`[data-product="${CSS.escape(products[0]?.id ?? "")}"]`)?.focus();
    } catch (error) {
      this.failed(error);
    }
  }

  item(product) {
    const image = h("img", { alt: "", width: 56, height: 56, decoding: "async" });
    picture(image, picturePath(product.id, product.pictures[0].id));
    const label = `Search with ${product.title || product.id}`;
    const button = h("button", {
      type: "button", title: label, "aria-label": label, "data-product": product.id,
      onclick: () => this.picked(ofProduct(product)),
    }, image);
    return h("li", {}, button);
  }

  /** Marks the product that is searched with. */
  mark(id) {
    for (const button of at("strip").querySelectorAll("[data-product]")) {
      button.setAttribute("aria-pressed", button.dataset.product === id);
    }
  }
}

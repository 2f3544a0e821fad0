// All that is known of one product, in a dialog that the page's address opens.

import { address, json, namedAddress, namedProduct, picture, picturePath, productPath } from "./api.js";
import { at, figure, h } from "./dom.js";

/** Products alike that are shown. */
const ALIKE = 8;

/** Opens and closes the dialog as the address says; `failed` is told what is refused. */
export function startDetails(failed) {
  const dialog = at("details");
  /** The product that was asked for last, and the one that is shown. */
  let latest = null;
  let shown = null;
  const follow = async () => {
    const id = namedProduct();
    latest = id;
    if (!id) {
      dialog.close();
      return;
    }
    try {
      const product = await json(productPath(id));
      const alike = await json(address(`${productPath(id)}/similar`, { k: ALIKE }));
      if (latest !== id) return;
      fill(product, alike.matches);
      shown = id;
      if (!dialog.open) dialog.showModal();
      dialog.scrollTop = 0;
      at("details-title").focus({ preventScroll: true });
    } catch (error) {
      if (latest !== id) return;
      dialog.close();
      forget(id);
      failed(error);
    }
  };
  /** Takes a product out of the address. */
  const forget = (id) => {
    if (namedProduct() === id) history.replaceState(null, "", location.pathname);
  };
  const leave = () => dialog.close();
  // The address may name the next one already.
  dialog.addEventListener("close", () => forget(shown));
  at("details-close").addEventListener("click", leave);
  // Beside the dialog is the dialog's own element, too: its content fills the rest.
  dialog.addEventListener("click", (event) => event.target === dialog && leave());
  addEventListener("hashchange", follow);
  follow();
}

function image(product, id, side) {
  const element = h("img", { alt: "", width: side, height: side, decoding: "async" });
  element.addEventListener("load", () => element.classList.toggle("pixels", Math.max(element.naturalWidth, element.naturalHeight) < 64));
  picture(element, picturePath(product, id));
  return element;
}

const date = (text) => h("time", { datetime: text }, new Date(text).toLocaleString("en", { dateStyle: "medium", timeStyle: "medium" }));

function fill(product, alike) {
  const fact = (name, ...content) => h("div", {}, h("dt", {}, name), h("dd", {}, ...content));
  at("details-title").textContent = product.title || product.id;
  at("details-body").replaceChildren(
    h("div", { class: "pictures" }, product.pictures.map((one) =>
      h("figure", {}, image(product.id, one.id, 280),
        h("figcaption", {}, `${one.width} × ${one.height}, ${one.content_type.replace("image/", "").toUpperCase()}, ${figure(one.bytes / 1000)} kB`)))),
    h("p", {}, h("a", { class: "button", href: namedAddress("/", product.id) }, "Search with this product")),
    h("dl", { class: "facts" },
      ...Object.entries(product.attributes).map(([name, value]) => fact(name, [value].flat().join(", "))),
      fact("id", h("code", {}, product.id)),
      fact("stored", date(product.created_at)),
      fact("changed", date(product.updated_at))),
    h("section", { "aria-labelledby": "alike-title" }, h("h3", { id: "alike-title" }, "Similar products"),
      h("ul", { class: "alike" }, alike.map((found) =>
        h("li", {}, h("a", { href: namedAddress("", found.product_id), title: found.product_id },
          image(found.product_id, found.picture_id, 84), found.product.title || found.product_id))))));
}

// Elements and figures: how the page makes the ones and writes the others.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element; attributes that begin with `on` are listeners. */
export function h(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function svg(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** The element of that id. */
export const at = (id) => document.getElementById(id);

/** Shows an element, or takes it away. */
export function show(element, shown) {
  element.hidden = !shown;
}

/** Resolves once what was shown is on screen; soon in a tab that is hidden, too, where nothing is painted. */
export const painted = () =>
  new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, 100);
  });

/** A whole number with its thousands apart. */
export const whole = (number) => Math.round(number).toLocaleString("en");

/** A number to three significant digits, without an exponent. */
export function figure(number) {
  if (number === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(number))));
  return number.toLocaleString("en", { minimumFractionDigits: Math.min(digits, 4), maximumFractionDigits: Math.min(digits, 4) });
}

/** A large count in a few letters: 12,345 is 12.3 k. */
export function short(number) {
  for (const [least, letter] of [[1e9, " G"], [1e6, " M"], [1e4, " k"]]) {
    if (number >= least) return figure(number / (letter === " k" ? 1e3 : least)) + letter;
  }
  return whole(number);
}

/** How far a figure is from another one, in percent with its sign. */
export function change(now, before) {
  const percent = Math.round((now / before - 1) * 100);
  if (percent === 0) return "the same";
  return `${percent > 0 ? "+" : "−"}${Math.abs(percent)} %`;
}

/** Radio buttons in a fieldset: pairs of value and label. */
export function choice(fieldset, name, options, chosen, change) {
  for (const [value, label] of options) {
    const input = h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => change(value) });
    fieldset.append(h("label", {}, input, h("span", {}, label)));
  }
}

// The energy of this picture, static and dynamic, beside what the paper measured.

import { at, figure, h, whole } from "./dom.js";
import { BOARDS } from "./paper.js";

function bar(fixed, dynamic, most) {
  const part = (energy, name) => {
    const element = h("span", { class: name });
    element.style.width = `${(100 * energy) / most}%`;
    return element;
  };
  return h("div", { class: "energy-bar", "aria-hidden": "true" }, part(fixed, "static"), part(dynamic, "dynamic"));
}

function row(name, note, fixed, dynamic, most, own) {
  return h("tr", { class: own ? "own" : null },
    h("th", { scope: "row" }, name, h("small", {}, note)),
    h("td", { class: "bars" }, bar(fixed, dynamic, most)),
    h("td", { class: "number" }, h("b", {}, figure(fixed + dynamic)), " mJ"),
    h("td", { class: "number parts" }, `${figure(fixed)} + ${figure(dynamic)}`));
}

const paper = BOARDS.map(([network, batch, hardware, fixed, dynamic, energy]) => {
  const share = fixed / (fixed + dynamic);
  const steps = network.match(/\d+/)?.[0];
  return {
    // The paper measured the sum; its two parts follow the powers of its Table 4.
    fixed: energy * share,
    dynamic: energy * (1 - share),
    batch,
    name: hardware.replace(/ \(neuromorphic cores\)/, ""),
    note: `paper, measured${steps ? `, T = ${steps}` : ""}${batch > 1 ? `, ${whole(batch)} pictures at once` : ""}`,
  };
});

/** Shows an emulation's energy. */
export function showEnergy(emulation) {
  const { energy_mj: energy, time_steps: steps } = emulation;
  const single = paper.filter((one) => one.batch === 1).sort((a, b) => a.fixed + a.dynamic - b.fixed - b.dynamic);
  const batched = paper.filter((one) => one.batch > 1).sort((a, b) => a.fixed + a.dynamic - b.fixed - b.dynamic);
  const most = Math.max(energy.total, ...paper.map((one) => one.fixed + one.dynamic));
  const rows = (all) => all.map((one) => row(one.name, one.note, one.fixed, one.dynamic, most));
  const group = (name) => h("tr", { class: "group" }, h("th", { colspan: 4, scope: "colgroup" }, name));
  at("energy").replaceChildren(
    h("p", { class: "legend" }, h("span", { class: "swatch static" }), "static ", h("span", { class: "swatch dynamic" }), "dynamic"),
    h("table", { class: "energy" },
      h("thead", { class: "unseen" }, h("tr", {}, ["Hardware", "Bar", "Energy", "Static and dynamic, mJ"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, row("This picture on Loihi", `modelled, T = ${steps}`, energy.static, energy.dynamic, most, true),
        group("One picture at a time"), rows(single), group("Many pictures at once"), rows(batched))),
    h("p", { class: "hint" }, "The paper's figures are of its network 32-64-10, from its Tables 4 and 5; its sums are split as its powers are. ",
      "In large batches a CPU or GPU needs less; the chip takes pictures as they come."));
}

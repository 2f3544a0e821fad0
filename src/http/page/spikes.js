// Spikes by layer and time step: a mark stands for so many spikes, stacked step by step.

import { layerClass } from "./chip.js";
import { at, h, svg, whole } from "./dom.js";

/** Marks of the tallest stack. */
const MARKS = 20;
/** Steps that are numbered at most, so that numbers of two digits stay apart on a phone. */
const NUMBERS = 10;
/** How long a step is shown when a run is played. */
const STEP_MS = 220;

function stacks(counts, each) {
  const marks = counts.map((count, step) => {
    const stack = count === 0 ? 0 : Math.max(1, Math.round(count / each));
    return Array.from({ length: stack }, (_, mark) => `M${step + 0.1} ${MARKS - mark - 0.85}h.8v.7h-.8z`).join("");
  });
  return marks.join("");
}

/** The raster of one run after the other. */
export class Raster {
  constructor(floor) {
    this.floor = floor;
    at("play").addEventListener("click", () => (this.timer ? this.stop() : this.play()));
  }

  draw(layers, neurons) {
    this.stop();
    this.layers = layers;
    this.steps = layers[0].spikes_per_step.length;
    this.cursors = [];
    this.said = h("p", { class: "readout", "aria-live": "polite" });
    const rows = layers.map((layer, index) => this.row(layer, index, neurons[index]));
    const numbers = this.axis();
    const raster = h("div", {
      class: "raster", tabindex: "0", role: "group",
      "aria-label": `Spikes of ${layers.length} layers in ${this.steps} time steps. Arrow keys go from step to step.`,
    }, rows, numbers);
    raster.addEventListener("pointermove", (event) => {
      if (this.timer) return;
      const box = raster.querySelector("svg").getBoundingClientRect();
      const step = Math.floor(((event.clientX - box.left) / box.width) * this.steps);
      if (step >= 0 && step < this.steps) this.tell(step);
    });
    raster.addEventListener("pointerleave", () => !this.timer && this.rest());
    raster.addEventListener("blur", () => !this.timer && this.rest());
    raster.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
      if (!(event.key in moves)) return;
      event.preventDefault();
      this.stop();
      this.tell(Math.min(this.steps - 1, Math.max(0, (this.told ?? -1) + moves[event.key])));
    });
    at("spikes").replaceChildren(raster, this.said, this.table());
    this.rest();
  }

  row(layer, index, neurons) {
    const counts = layer.spikes_per_step;
    const most = Math.max(1, ...counts);
    const each = Math.max(1, Math.ceil(most / MARKS));
    const total = counts.reduce((sum, count) => sum + count, 0);
    const cursor = svg("rect", { class: "cursor", y: 0, width: 1, height: MARKS, visibility: "hidden" });
    this.cursors.push(cursor);
    const drawing = svg("svg", { viewBox: `0 0 ${this.steps} ${MARKS}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      cursor, svg("path", { class: layerClass(index), d: stacks(counts, each) }));
    return h("div", { class: "train" },
      h("div", { class: "train-name" }, h("b", {}, layer.name), h("small", {}, neurons ? `${whole(neurons)} neurons` : "")),
      drawing,
      h("div", { class: "train-sum" }, h("b", {}, whole(total)), h("small", {}, each === 1 ? "a mark is 1" : `a mark is ${whole(each)}`)));
  }

  axis() {
    const every = Math.ceil(this.steps / NUMBERS);
    const numbers = Array.from({ length: this.steps }, (_, step) =>
      h("span", {}, step === 0 || (step + 1) % every === 0 ? String(step + 1) : ""));
    return h("div", { class: "train axis", "aria-hidden": "true" }, h("div", { class: "train-name" }, h("small", {}, "time step")),
      h("div", { class: "numbers" }, numbers), h("div", { class: "train-sum" }, h("small", {}, "spikes")));
  }

  table() {
    const steps = Array.from({ length: this.steps }, (_, step) => step);
    return h("details", { class: "table" }, h("summary", {}, "The spikes as a table"),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Spikes" },
        h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Step"),
          this.layers.map((layer) => h("th", { scope: "col" }, layer.name)))),
        h("tbody", {}, steps.map((step) => h("tr", {}, h("th", { scope: "row" }, String(step + 1)),
          this.layers.map((layer) => h("td", { class: "number" }, whole(layer.spikes_per_step[step])))))))));
  }

  tell(step) {
    this.told = step;
    for (const cursor of this.cursors) {
      cursor.setAttribute("x", step);
      cursor.setAttribute("visibility", "visible");
    }
    const counts = this.layers.map((layer) => `${layer.name} ${whole(layer.spikes_per_step[step])}`);
    this.said.textContent = `Step ${step + 1}: ${counts.join(", ")}`;
  }

  rest() {
    this.told = undefined;
    for (const cursor of this.cursors ?? []) cursor.setAttribute("visibility", "hidden");
    if (this.said) this.said.textContent = "Point at a step, or move with the arrow keys.";
  }

  /** Shows the run step by step, on the floor plan too: there a layer's cores share its spikes of the step. */
  play() {
    let step = 0;
    at("play").textContent = "Stop";
    const most = this.layers.map((layer) => Math.max(1, ...layer.spikes_per_step));
    const beat = () => {
      if (step === this.steps) {
        this.stop();
        return;
      }
      this.tell(step);
      this.floor.beat(new Map(this.layers.map((layer, index) => [layer.name, layer.spikes_per_step[step] / most[index]])));
      step += 1;
    };
    this.timer = setInterval(beat, STEP_MS);
    beat();
  }

  stop() {
    if (!this.timer) return;
    clearInterval(this.timer);
    this.timer = undefined;
    at("play").textContent = "Play";
    this.rest();
    this.floor.colour();
  }
}

// The chip as a floor plan, laid out as `spikelens inspect --format svg` draws it, each core as bright as it is busy.

import { at, choice, h, show, svg, whole } from "./dom.js";

const CORE = 42;
const CORE_GAP = 3;
const TILE_PADDING = 3;
const TILE_GAP = 6;
const CHIP_PADDING = 10;
const TILE_SIDE = 2;
const TILE_ROWS = 4;
const TILE_COLUMNS = 8;
const CORES_PER_TILE = TILE_SIDE * TILE_SIDE;
const CORES = TILE_ROWS * TILE_COLUMNS * CORES_PER_TILE;
const TILE = TILE_SIDE * CORE + (TILE_SIDE - 1) * CORE_GAP + 2 * TILE_PADDING;
const WIDTH = TILE_COLUMNS * TILE + (TILE_COLUMNS - 1) * TILE_GAP + 2 * CHIP_PADDING;
const HEIGHT = TILE_ROWS * TILE + (TILE_ROWS - 1) * TILE_GAP + 2 * CHIP_PADDING;
/** Layers beyond the last colour begin again at the first. */
const COLOURS = 7;

const FIGURES = { spikes: "Spikes", synaptic_operations: "Synaptic operations" };

function tileAt(tile) {
  return [
    CHIP_PADDING + Math.floor(tile / TILE_ROWS) * (TILE + TILE_GAP),
    CHIP_PADDING + (tile % TILE_ROWS) * (TILE + TILE_GAP),
  ];
}

function coreAt(core) {
  const [x, y] = tileAt(Math.floor(core / CORES_PER_TILE));
  const within = core % CORES_PER_TILE;
  return [
    x + TILE_PADDING + (within % TILE_SIDE) * (CORE + CORE_GAP),
    y + TILE_PADDING + Math.floor(within / TILE_SIDE) * (CORE + CORE_GAP),
  ];
}

/** The class that gives a layer its colour. */
export const layerClass = (index) => `layer-${index % COLOURS}`;

/** One floor plan: drawn once for a placement, then coloured anew by every run. */
export class FloorPlan {
  constructor() {
    this.figure = "spikes";
    choice(at("floor-figure"), "floor-figure", Object.entries(FIGURES), this.figure, (figure) => {
      this.figure = figure;
      this.colour();
    });
  }

  /** Draws the cores of a trace; `layers` are the layers' names, in order. */
  draw(cores, layers) {
    const placed = JSON.stringify(cores.map((core) => [core.chip, core.core, core.layer]));
    if (placed !== this.placed) {
      this.placed = placed;
      this.build(cores, layers);
    }
    this.cores = cores;
    this.colour();
  }

  build(cores, layers) {
    this.shapes = [];
    const chips = [...new Set(cores.map((core) => core.chip))];
    const drawings = chips.map((chip) => this.chip(chip, cores, layers, chips.length));
    this.said = h("p", { class: "readout", "aria-live": "polite" });
    this.scale = h("p", { class: "hint scale" });
    const legend = h("ul", { class: "legend" }, layers.map((layer, index) => {
      const count = cores.filter((core) => core.layer === layer).length;
      return h("li", {}, h("span", { class: `swatch ${layerClass(index)}` }), h("b", {}, layer), ` ${count} ${count === 1 ? "core" : "cores"}`);
    }));
    this.table = h("tbody");
    const table = h("details", { class: "table" }, h("summary", {}, "The cores as a table"),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Cores" },
        h("table", {}, h("thead", {}, h("tr", {},
          ["Chip", "Core", "Layer", "Spikes", "Synaptic operations"].map((name) => h("th", { scope: "col" }, name)))),
        this.table)));
    at("floor").replaceChildren(legend, ...drawings, this.said, this.scale, table);
    this.rest();
  }

  chip(chip, cores, layers, chips) {
    const here = new Map();
    cores.forEach((core, index) => core.chip === chip && here.set(core.core, index));
    const drawing = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "floor", tabindex: "0", role: "group",
      "aria-label": `Floor plan of chip ${chip}: ${here.size} of ${CORES} cores in use. Arrow keys go from core to core.`,
    });
    drawing.append(svg("rect", { class: "die", x: 0.5, y: 0.5, width: WIDTH - 1, height: HEIGHT - 1, rx: 10 }));
    for (let tile = 0; tile < CORES / CORES_PER_TILE; tile += 1) {
      const [x, y] = tileAt(tile);
      drawing.append(svg("rect", { class: "tile", x, y, width: TILE, height: TILE, rx: 5 }));
    }
    for (let number = 0; number < CORES; number += 1) {
      const [x, y] = coreAt(number);
      const box = { x, y, width: CORE, height: CORE, rx: 4 };
      const index = here.get(number);
      if (index === undefined) {
        drawing.append(svg("rect", { ...box, class: "idle" }));
        continue;
      }
      const fill = svg("rect", { ...box, class: `core ${layerClass(layers.indexOf(cores[index].layer))}` });
      this.shapes[index] = fill;
      fill.addEventListener("pointerenter", () => this.tell(index));
      fill.addEventListener("pointerdown", () => this.tell(index));
      drawing.append(fill);
    }
    drawing.addEventListener("pointerleave", () => this.rest());
    drawing.addEventListener("blur", () => this.rest());
    drawing.addEventListener("focus", () => this.tell([...here.values()][0]));
    const own = [...here.keys()].sort((a, b) => a - b);
    drawing.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
      if (!(event.key in steps)) return;
      event.preventDefault();
      const now = Math.max(0, own.indexOf(this.cores[this.told]?.core));
      const next = Math.min(own.length - 1, Math.max(0, now + steps[event.key]));
      this.tell(here.get(own[next]));
    });
    return h("figure", { class: "chip" }, chips > 1 ? h("figcaption", {}, `Chip ${chip}`) : null, drawing);
  }

  /** Says what one core did. */
  tell(index) {
    this.shapes[this.told]?.classList.remove("told");
    this.told = index;
    this.shapes[index]?.classList.add("told");
    const { core, layer, spikes, synaptic_operations: operations } = this.cores[index];
    this.said.textContent = `Core ${core}, ${layer}: ${whole(spikes)} spikes fired, ${whole(operations)} synaptic operations arrived`;
  }

  rest() {
    this.shapes[this.told]?.classList.remove("told");
    this.told = undefined;
    this.said.textContent = "Point at a core, or move with the arrow keys.";
  }

  /** Colours every core by its own count over the whole run. */
  colour() {
    if (!this.cores) return;
    const most = Math.max(1, ...this.cores.map((core) => core[this.figure]));
    this.cores.forEach((core, index) => {
      // Counts of layers lie far apart; their square roots can be told apart.
      this.shapes[index].style.fillOpacity = 0.1 + 0.9 * Math.sqrt(core[this.figure] / most);
    });
    this.scale.replaceChildren("0", h("span", { class: "ramp", "aria-hidden": "true" }),
      `${whole(most)} ${FIGURES[this.figure].toLowerCase()} on a core; brightness follows the square root`);
    this.table.replaceChildren(...this.cores.map((core) =>
      h("tr", {}, [core.chip, core.core].map((value) => h("td", {}, String(value))), h("td", {}, core.layer),
        [core.spikes, core.synaptic_operations].map((value) => h("td", { class: "number" }, whole(value))))));
    if (this.told !== undefined) this.tell(this.told);
  }

  /** While a run is played: a layer's cores by its share, 0 to 1, of its busiest step. */
  beat(shares) {
    this.cores.forEach((core, index) => {
      this.shapes[index].style.fillOpacity = 0.08 + 0.92 * (shares.get(core.layer) ?? 0);
    });
  }
}

/** Whether there is a run to look into. */
export const showInside = (shown) => show(at("inside"), shown);

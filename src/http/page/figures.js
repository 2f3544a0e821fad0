// The run in figures.

import { at, figure, h, short, whole } from "./dom.js";

/** Shows what a run cost on the chip, and how long this server took for all of it. */
export function showFigures(answer) {
  const { emulation, timing } = answer;
  const tile = (name, value, unit, note, kind) =>
    h("div", { class: kind }, h("dt", {}, name), h("dd", {}, h("strong", {}, value), h("span", {}, unit)), h("dd", { class: "note" }, note));
  const sparse = (100 * emulation.spikes) / emulation.neuron_updates;
  at("figures").replaceChildren(
    tile("Energy", figure(emulation.energy_mj.total), " mJ", `${figure(emulation.energy_mj.static)} static, ${figure(emulation.energy_mj.dynamic)} dynamic`, "modelled"),
    tile("Latency", figure(emulation.latency_ms), " ms", `${whole(1000 / emulation.latency_ms)} pictures a second`, "modelled"),
    tile("Power", figure(emulation.power_w.total), " W", "while it runs", "modelled"),
    tile("Spikes", short(emulation.spikes), "", `${figure(sparse)} % of neuron updates fired`, "exact"),
    tile("Synaptic operations", short(emulation.synaptic_operations), "", "weights added to membranes", "exact"),
    tile("Cores", whole(emulation.cores), ` on ${emulation.chips === 1 ? "a chip" : `${emulation.chips} chips`}`, "of 128 a chip", "exact"),
    tile("This server", figure(timing.total_ms), " ms", `${figure(timing.emulation_ms)} emulating, ${figure(timing.search_ms)} searching`, "measured"),
  );
}

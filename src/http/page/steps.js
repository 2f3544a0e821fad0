// Time steps on the chip, and what changes with them: quality, energy, latency.

import { at, change, figure, h, svg } from "./dom.js";

/** The slider with its two ways out: the catalogue's default, and as many steps as the picture needs. */
export class Steps {
  constructor(changed) {
    this.changed = changed;
    this.given = "";
    this.standard = 8;
    at("time-steps").addEventListener("input", (event) => {
      this.set(Number(event.target.value) === this.standard ? "" : event.target.value);
    });
    at("steps-auto").addEventListener("change", (event) => {
      const steps = Number(at("time-steps").value);
      this.set(event.target.checked ? "auto" : steps === this.standard ? "" : String(steps));
    });
    at("steps-default").addEventListener("click", () => {
      at("time-steps").value = this.standard;
      this.set("");
    });
  }

  /** The parameter `time_steps`; empty for the catalogue's. */
  get parameter() {
    return this.given;
  }

  /** Whether time steps can be chosen now. */
  enable(enabled) {
    for (const id of ["time-steps", "steps-auto", "steps-default"]) at(id).disabled = !enabled;
  }

  set(given) {
    this.given = given;
    at("steps-auto").checked = given === "auto";
    this.say(given === "auto" ? "auto" : `T = ${given || this.standard}`);
    at("steps-default").hidden = given === "";
    this.changed();
  }

  say(text) {
    at("steps-now").textContent = text;
    at("time-steps").setAttribute("aria-valuetext", text);
  }

  /** What the catalogue runs where nothing is said. */
  learn(standard) {
    this.standard = standard;
    at("steps-default").textContent = `Back to ${standard}`;
    at("steps-default").hidden = this.given === "";
    if (this.given === "") {
      at("time-steps").value = standard;
      this.say(`T = ${standard}`);
    }
  }

  /** Shows an answer, and how it differs from `standard`, the answer of the catalogue's time steps. */
  show(answer, standard, lead) {
    const { emulation, prediction } = answer;
    this.note(answer, standard);
    if (this.given === "auto") {
      this.say(`auto: T = ${answer.time_steps}`);
      at("time-steps").value = answer.time_steps;
    }
    const same = answer.time_steps === standard.time_steps;
    const before = standard.emulation;
    const than = (now, then) => (same ? `at the default, T = ${standard.time_steps}` : `${change(now, then)} against T = ${standard.time_steps}`);
    const ids = new Set(standard.matches.map((found) => found.product_id));
    const stay = answer.matches.filter((found) => ids.has(found.product_id)).length;
    const kept = same ? "" : `${stay} of ${standard.matches.length} matches as with T = ${standard.time_steps}`;
    const row = (name, value, unit, ...notes) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, h("strong", {}, value), unit, notes.map((note) => h("small", {}, note))));
    at("tradeoff").replaceChildren(
      row("Quality", prediction.label, "", lead, kept),
      row("Energy", figure(emulation.energy_mj.total), " mJ", than(emulation.energy_mj.total, before.energy_mj.total)),
      row("Latency", figure(emulation.latency_ms), " ms", than(emulation.latency_ms, before.latency_ms)),
    );
  }

  /** Keeps what a number of time steps cost this picture, and draws all that were tried above the slider. */
  note(answer, standard) {
    if (this.of !== standard) {
      this.of = standard;
      this.tried = new Map([[standard.time_steps, standard]]);
    }
    this.tried.set(answer.time_steps, answer);
    const energy = (tried) => tried.emulation.energy_mj.total;
    const most = Math.max(...[...this.tried.values()].map(energy));
    at("tried").replaceChildren(...[...this.tried].map(([steps, tried]) => {
      const height = (20 * energy(tried)) / most;
      const other = tried.prediction.class !== standard.prediction.class;
      const kind = steps === answer.time_steps ? "now" : other ? "other" : null;
      // The slider's thumb keeps half of its width off both ends of the track.
      const x = 1 + ((steps - 1) / 63) * 60.4;
      return svg("rect", { class: kind, x, y: 20 - height, width: 0.9, height });
    }));
  }
}

// What went wrong, said in words, and waiting for what passes by itself.

import { Refusal, json } from "./api.js";
import { at, h, show } from "./dom.js";
import { askForKey } from "./key.js";

/** How often it is looked whether the catalogue is ready. */
const LOOK_MS = 1000;

/** Whether it is looked for now. */
let looking = false;

const sentence = (detail) => `${detail[0].toUpperCase()}${detail.slice(1)}${/[.?!]$/.test(detail) ? "" : "."}`;

function notice(text) {
  at("notice").textContent = text;
  show(at("notice"), true);
}

/** Takes the notice away. */
export const calm = () => show(at("notice"), false);

/** Says what went wrong; `start` begins again where a key was missing or the catalogue was not ready. */
export function tell(error, start) {
  if (!(error instanceof Refusal)) {
    notice(`The page failed: ${error.message}`);
    throw error;
  }
  if (error.status === 401) askForKey(error, start);
  else if (error.code === "not_ready") waitUntilReady(start);
  else {
    notice(sentence(error.detail));
    if (["unreachable", "shutting_down", "store_unavailable"].includes(error.code)) setTimeout(waitUntilReady, LOOK_MS, start);
  }
}

/** One thing at a time: each takes the place of what is still under way. */
export class OneAtATime {
  constructor(filters, refused) {
    Object.assign(this, { filters, refused, running: null });
  }

  /** Gives up what is under way. */
  stop() {
    this.running?.abort();
  }

  /** Does something; true once it is on screen. */
  async run(task) {
    this.stop();
    const own = new AbortController();
    this.running = own;
    document.body.classList.add("busy");
    try {
      await task(own.signal);
      this.filters.refuse(null);
      calm();
      // Tests and tools can tell a new answer from an old one.
      document.body.dataset.answers = Number(document.body.dataset.answers ?? 0) + 1;
      return true;
    } catch (error) {
      if (!own.signal.aborted) this.refused(error);
      return false;
    } finally {
      if (this.running === own) document.body.classList.remove("busy");
    }
  }
}

/** Shows how far the catalogue is until it is ready, then goes on. */
async function waitUntilReady(start) {
  if (looking) return;
  looking = true;
  const waiting = at("waiting");
  for (;;) {
    try {
      await json("/readyz");
      break;
    } catch (error) {
      const [, done, total] = error.detail?.match(/\((\d+) of (\d+)\)/) ?? [];
      const text = h("span", {}, sentence(error.detail ?? String(error)));
      waiting.replaceChildren(text);
      if (Number(total)) {
        const progress = h("progress", { "aria-label": "Catalogue" });
        Object.assign(progress, { max: Number(total), value: Number(done) });
        waiting.append(progress);
      }
      show(waiting, true);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  looking = false;
  show(waiting, false);
  calm();
  start();
}

// A part of the query's picture, drawn on it by mouse, pen, finger or keys.

import { at, show } from "./dom.js";

/** Pixels within which a press is a click. */
const SLACK = 5;
/** What a key moves or stretches by, and the least side, as shares of the picture. */
const STEP = 0.05;
const LEAST = 0.02;
/** What the first arrow key begins with. */
const MIDDLE = [0.25, 0.25, 0.75, 0.75];

const within = (value, least = 0, most = 1) => Math.min(most, Math.max(least, value));
const percent = (share) => Math.round(100 * share);

/** The region of the picture on screen. */
export class Region {
  constructor(changed) {
    this.changed = changed;
    this.sides = null;
    this.start();
  }

  /** The parameter `region`; empty for the whole picture. */
  get parameter() {
    return this.sides ? JSON.stringify(this.sides.map((side) => Number(side.toFixed(3)))) : "";
  }

  /** Takes it away without telling. */
  clear() {
    this.set(null);
  }

  set(sides) {
    this.sides = sides;
    const frame = at("frame");
    if (sides) {
      const [left, top, right, bottom] = sides.map((side) => 100 * side);
      Object.assign(frame.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
    }
    show(frame, sides);
    show(at("region-clear"), sides);
    at("region-now").textContent = sides
      ? `Only ${percent(sides[0])} to ${percent(sides[2])} % across, ${percent(sides[1])} to ${percent(sides[3])} % down`
      : "Draw on it to search for a part";
  }

  start() {
    const image = at("original");
    image.addEventListener("load", () => {
      const { naturalWidth: width, naturalHeight: height } = image;
      // The picture is shown whole in a square; the area lies on it and on nothing else.
      Object.assign(at("area").style, {
        width: `${100 * Math.min(1, width / height)}%`, height: `${100 * Math.min(1, height / width)}%`,
      });
      show(at("area"), true);
    });
    image.addEventListener("error", () => show(at("area"), false));
    this.startPointer(at("area"));
    at("area").addEventListener("keydown", (event) => this.key(event));
    at("region-clear").addEventListener("click", () => {
      this.set(null);
      this.changed();
      at("area").focus();
    });
  }

  startPointer(area) {
    let drawing = null;
    let drawn = false;
    const place = ({ clientX, clientY }) => {
      const box = area.getBoundingClientRect();
      return [within((clientX - box.left) / box.width), within((clientY - box.top) / box.height)];
    };
    area.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || drawing) return;
      drawn = false;
      drawing = { id: event.pointerId, from: place(event), x: event.clientX, y: event.clientY, before: this.sides };
      area.setPointerCapture(event.pointerId);
    });
    area.addEventListener("pointermove", (event) => {
      if (event.pointerId !== drawing?.id) return;
      drawn ||= Math.hypot(event.clientX - drawing.x, event.clientY - drawing.y) > SLACK;
      if (!drawn) return;
      const [[x, y], [otherX, otherY]] = [drawing.from, place(event)];
      this.set([Math.min(x, otherX), Math.min(y, otherY), Math.max(x, otherX), Math.max(y, otherY)]);
    });
    const end = (event, done) => {
      if (event.pointerId !== drawing?.id) return;
      const { before } = drawing;
      drawing = null;
      if (!drawn) return;
      const [left, top, right, bottom] = this.sides;
      if (done && right - left >= LEAST && bottom - top >= LEAST) this.changed();
      else this.set(before);
    };
    area.addEventListener("pointerup", (event) => end(event, true));
    area.addEventListener("pointercancel", (event) => end(event, false));
    // A click chooses a file; the end of a stroke does not.
    area.addEventListener("click", (event) => {
      if (drawn) event.stopPropagation();
      drawn = false;
    });
  }

  key(event) {
    const ways = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const way = ways[event.key];
    if (event.key === "Escape" && this.sides) this.set(null);
    else if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
    else if (!this.sides) this.set(MIDDLE);
    else {
      const [left, top, right, bottom] = this.sides;
      if (event.shiftKey) {
        this.set([left, top, within(right + way[0], left + LEAST), within(bottom + way[1], top + LEAST)]);
      } else {
        const x = within(way[0], -left, 1 - right);
        const y = within(way[1], -top, 1 - bottom);
        this.set([left + x, top + y, right + x, bottom + y]);
      }
    }
    event.preventDefault();
    this.changed();
  }
}

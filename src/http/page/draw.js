// The drawing pad: ink on white paper, searched after every stroke.

import { at, choice, show } from "./dom.js";

const PAPER = "#ffffff";
const TONES = [["#111111", "Dark"], ["#777777", "Middle"], ["#bbbbbb", "Light"], [PAPER, "Eraser"]];
const BRUSHES = [["10", "Fine"], ["24", "Middle"], ["44", "Broad"]];
/** Strokes that can be taken back. */
const UNDO = 30;
/** Pixels that an arrow key moves the brush. */
const STEP = 10;

/** Wires the pad up; `drawn` gets a PNG after every stroke, null once the paper is blank again. */
export function startPad(drawn) {
  const canvas = at("canvas");
  const ink = canvas.getContext("2d", { willReadFrequently: true });
  const brush = { tone: TONES[0][0], width: 24, at: { x: 140, y: 140 }, down: false };
  const before = [];

  const blank = () => {
    ink.fillStyle = PAPER;
    ink.fillRect(0, 0, canvas.width, canvas.height);
  };
  const remember = () => {
    before.push(ink.getImageData(0, 0, canvas.width, canvas.height));
    if (before.length > UNDO) before.shift();
  };
  const isBlank = () => ink.getImageData(0, 0, canvas.width, canvas.height).data.every((value) => value === 255);
  const tell = () => {
    if (isBlank()) drawn(null);
    else canvas.toBlob((blob) => blob && drawn(blob), "image/png");
  };
  const line = (from, to) => {
    Object.assign(ink, { strokeStyle: brush.tone, lineWidth: brush.width, lineCap: "round", lineJoin: "round" });
    ink.beginPath();
    ink.moveTo(from.x, from.y);
    // A point is a line to itself, which not every browser draws.
    ink.lineTo(to.x + 0.01, to.y);
    ink.stroke();
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * canvas.width,
      y: ((event.clientY - box.top) / box.height) * canvas.height,
    };
  };

  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    remember();
    last = place(event);
    line(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    for (const move of moves.length ? moves : [event]) {
      const to = place(move);
      line(last, to);
      last = to;
    }
  });
  const lift = () => {
    if (!last) return;
    brush.at = last;
    last = null;
    tell();
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);

  const ways = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  canvas.addEventListener("keydown", (event) => {
    const way = ways[event.key];
    if (way) {
      const to = {
        x: Math.min(canvas.width, Math.max(0, brush.at.x + way[0])),
        y: Math.min(canvas.height, Math.max(0, brush.at.y + way[1])),
      };
      if (brush.down) line(brush.at, to);
      brush.at = to;
    } else if (event.key === " ") {
      brush.down = !brush.down;
      if (brush.down) {
        remember();
        line(brush.at, brush.at);
      } else {
        tell();
      }
    } else {
      return;
    }
    event.preventDefault();
  });

  choice(at("tones"), "tone", TONES, brush.tone, (tone) => {
    brush.tone = tone;
  });
  choice(at("brushes"), "brush", BRUSHES, String(brush.width), (width) => {
    brush.width = Number(width);
  });
  at("undo").addEventListener("click", () => {
    const image = before.pop();
    if (!image) return;
    ink.putImageData(image, 0, 0);
    tell();
  });
  at("clear").addEventListener("click", () => {
    remember();
    blank();
    tell();
  });
  const open = (opened) => {
    show(at("pad"), opened);
    at("draw").setAttribute("aria-expanded", opened);
    if (opened) canvas.focus();
    else at("draw").focus();
  };
  at("draw").addEventListener("click", () => open(at("pad").hidden));
  at("done").addEventListener("click", () => open(false));
  blank();
}

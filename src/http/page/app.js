// The page: what is asked of the service, in which order, and where its answers are shown.

import { Refusal, address, json } from "./api.js";
import { FloorPlan, showInside } from "./chip.js";
import { hideLine, recommendLine, searchLine, showLine, startCopy } from "./curl.js";
import { at, figure, painted, show, whole } from "./dom.js";
import { startPad } from "./draw.js";
import { showEnergy } from "./energy.js";
import { showFigures } from "./figures.js";
import { Filters } from "./filters.js";
import { K, firstAnswer } from "./first.js";
import { askForKey } from "./key.js";
import { clearMatches, showMatches } from "./matches.js";
import { Strip, ofBlob, ofProduct, showOriginal, startFiles } from "./query.js";
import { Raster } from "./spikes.js";
import { Steps } from "./steps.js";
import { Taste } from "./taste.js";
import { startTheme } from "./theme.js";

/** How long the page waits for more of the same gesture before it asks. */
const PAUSE_MS = 60;
/** How often it looks whether the catalogue is ready. */
const LOOK_MS = 1000;

const floor = new FloorPlan();
const raster = new Raster(floor);
const filters = new Filters(() => soon());
const taste = new Taste(() => soon());
const steps = new Steps(() => soon());
const strip = new Strip((query) => take(query), (products) => filters.learn(products));
strip.failed = (error) => refused(error);

let query = null;
let model = null;
let described = null;
/** The matches on screen. */
let found = [];
/** The answer of the catalogue's time steps to the query on screen, and which query that is. */
let standard = { of: null, answer: null };
let running = null;
let timer = null;
/** Whether it looks for the catalogue to be ready. */
let looking = false;

/** Searches once the gesture rests. */
function soon() {
  clearTimeout(timer);
  timer = setTimeout(run, PAUSE_MS);
}

/** A new picture is searched for. */
function take(given) {
  query = given;
  taste.clear();
  strip.mark(given.product?.id);
  showOriginal(given);
  return run();
}

/** Asks for what is chosen; true once its answer is on screen. */
async function run() {
  clearTimeout(timer);
  running?.abort();
  if (!query && !taste.active) return false;
  const own = new AbortController();
  running = own;
  document.body.classList.add("busy");
  try {
    // Stored embeddings have their time steps already.
    steps.enable(!taste.active);
    if (taste.active) await recommend(own.signal);
    else await search(own.signal);
    filters.refuse(null);
    show(at("notice"), false);
    // Tests and tools can tell a new answer from an old one.
    document.body.dataset.answers = Number(document.body.dataset.answers ?? 0) + 1;
    return true;
  } catch (error) {
    if (!own.signal.aborted) refused(error);
    return false;
  } finally {
    if (running === own) document.body.classList.remove("busy");
  }
}

async function search(signal) {
  const start = performance.now();
  const asked = query;
  const options = { k: K, filter: filters.text };
  const parameters = { ...options, time_steps: steps.parameter };
  const post = async (given) => {
    const body = await asked.blob(signal);
    return json(address("/v1/search", given), { method: "POST", body, type: asked.type, signal });
  };
  const plain = filters.text === "" && steps.parameter === "";
  const answer = (plain && (await firstAnswer(asked.product?.id))) || (await post({ ...parameters, trace: "true" }));
  if (standard.of !== asked || standard.filter !== options.filter) {
    standard = { of: asked, filter: options.filter, answer: steps.parameter === "" ? answer : await post(options) };
    steps.learn(standard.answer.time_steps);
  }
  signal.throwIfAborted();
  showFound(answer, asked);
  showLine(searchLine(asked, { ...parameters, trace: "true" }), asked);
  await painted();
  measure(start);
  await described;
  signal.throwIfAborted();
  showRun(answer);
}

/** Shows what was found; it is on screen before the run is drawn. */
function showFound(answer, asked) {
  const { prediction, trace } = answer;
  at("found-title").textContent = answer.matches.length ? likeness(prediction) : "Nothing found";
  at("took").textContent = `Answered in ${figure(answer.timing.total_ms)} ms, measured here`;
  say(answer.matches);
  list(answer.matches, asked.product?.id);
  at("prepared").src = trace.prepared;
  at("prepared").alt = "The picture as the network saw it";
  show(at("prepared"), true);
}

/** What a picture looks like; a network without labels has only numbers for its classes, which say nothing. */
const likeness = ({ label, class: number }) => (label === String(number) ? "Products that look alike" : `Looks like: ${label}`);

/** Draws the run of an answer. */
function showRun(answer) {
  const { prediction, trace, emulation } = answer;
  showInside(true);
  at("inside-said").textContent = `One run of T = ${answer.time_steps} time steps, ${emulation.cost_model}`;
  steps.show(answer, standard.answer, lead(prediction));
  showFigures(answer);
  const layers = trace.layers.map((layer) => layer.name);
  floor.draw(trace.cores, layers);
  raster.draw(trace.layers, emulation.layers.map((layer) => layer.neurons));
  showEnergy(emulation);
}

/** By how much the first class leads the second, in thresholds of the output layer, as `time_steps=auto` counts it. */
function lead(prediction) {
  const order = prediction.scores.map((score, index) => ({ score, index })).sort((a, b) => b.score - a.score);
  const threshold = model?.layers.at(-1)?.threshold;
  if (order.length < 2 || !threshold) return "";
  const second = model.labels?.[order[1].index] ?? `class ${order[1].index}`;
  return `leads ${second} by ${((order[0].score - order[1].score) / threshold).toFixed(1)} thresholds`;
}

async function recommend(signal) {
  const conditions = filters.conditions;
  const body = { ...taste.body(K), ...(filters.text ? { filter: conditions ?? filters.text } : {}) };
  const answer = await json("/v1/recommend", { method: "POST", body: JSON.stringify(body), type: "application/json", signal });
  showLine(recommendLine(body), null);
  at("found-title").textContent = "More to this taste";
  at("took").textContent = `Answered in ${figure(answer.timing.total_ms)} ms, nothing emulated`;
  at("inside-said").textContent = "The last picture's run: a taste is searched for by stored embeddings";
  say(answer.matches);
  list(answer.matches);
}

function say(matches) {
  const filtered = filters.text ? " that pass the filter" : "";
  const titles = new Map();
  for (const { product } of matches) titles.set(product.title || product.id, (titles.get(product.title || product.id) ?? 0) + 1);
  const most = [...titles].sort(([, a], [, b]) => b - a).slice(0, 4).map(([title, count]) => `${count} × ${title}`);
  const rest = titles.size > most.length ? " and others" : "";
  at("said").textContent = matches.length
    ? `${matches.length} products${filtered}: ${most.join(", ")}${rest}`
    : `No product${filtered} was found.`;
  at("matches").setAttribute("aria-label", `${matches.length} matches${filtered}, best first`);
}

function list(matches, itself) {
  found = matches;
  filters.learn(matches.map((one) => one.product));
  const within = at("matches").contains(document.activeElement);
  showMatches(matches, {
    pick: (product, picture) => take(ofProduct(product, picture)).then(lookAtFound),
    like: (product) => taste.like(product),
    unlike: (product) => taste.unlike(product, stand(product)),
  }, itself);
  if (within && !at("matches").contains(document.activeElement)) at("found-title").focus({ preventScroll: true });
}

/** Brings what was found into view where the picture takes the whole screen. */
function lookAtFound(answered) {
  const { top } = at("found-title").getBoundingClientRect();
  if (!answered || (top >= 0 && top < innerHeight * 0.8)) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  at("found-title").scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
}

/** What is liked where only a dislike was said: the product searched with, else the best match that is left. */
function stand(disliked) {
  if (query?.product && query.product.id !== disliked.id) return query.product;
  return found.find((one) => one.product_id !== disliked.id)?.product;
}

/** Says what went wrong, where it can be mended. */
function refused(error) {
  if (!(error instanceof Refusal)) {
    notice(`The page failed: ${error.message}`);
    throw error;
  }
  if (error.about("filter")) {
    filters.refuse(error.detail);
    return;
  }
  if (error.status === 401) askForKey(error, start);
  else if (error.code === "not_ready") waitUntilReady();
  else if (["unreachable", "shutting_down", "store_unavailable"].includes(error.code)) {
    notice(sentence(error.detail));
    setTimeout(waitUntilReady, LOOK_MS);
  } else {
    notice(sentence(error.detail));
    if (!taste.active && ["undecodable_image", "unsupported_media_type", "empty_embedding", "too_large"].includes(error.code)) {
      nothingFound();
    }
  }
}

function nothingFound() {
  clearMatches();
  found = [];
  showInside(false);
  hideLine();
  show(at("prepared"), false);
  at("found-title").textContent = "This picture was not searched";
  at("said").textContent = at("took").textContent = "";
  at("tradeoff").replaceChildren();
  at("tried").replaceChildren();
}

const sentence = (detail) => `${detail[0].toUpperCase()}${detail.slice(1)}${/[.?!]$/.test(detail) ? "" : "."}`;

function notice(text) {
  at("notice").textContent = text;
  show(at("notice"), true);
}

/** Shows how far the catalogue is until it is ready, then goes on. */
async function waitUntilReady() {
  if (looking) return;
  looking = true;
  const waiting = at("waiting");
  for (;;) {
    try {
      await json("/readyz");
      break;
    } catch (error) {
      const [, done, total] = error.detail?.match(/\((\d+) of (\d+)\)/) ?? [];
      const text = document.createElement("span");
      text.textContent = sentence(error.detail ?? String(error));
      waiting.replaceChildren(text);
      if (Number(total)) {
        const progress = document.createElement("progress");
        Object.assign(progress, { max: Number(total), value: Number(done) });
        progress.setAttribute("aria-label", "Catalogue");
        waiting.append(progress);
      }
      show(waiting, true);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  looking = false;
  show(waiting, false);
  show(at("notice"), false);
  start();
}

/** Measures an answer, from its asking to the screen, and the first one from the page's begin, for a browser's tools. */
function measure(start) {
  performance.clearMeasures("answer");
  performance.measure("answer", { start });
  if (!performance.getEntriesByName("first-answer").length) performance.measure("first-answer", { start: 0 });
}

/** Learns which network answers over how many pictures. */
async function describe() {
  const [network, ready] = await Promise.all([json("/v1/model"), json("/readyz")]);
  model = network;
  const store = { sqlite: "SQLite", postgresql: "PostgreSQL" }[ready.store];
  at("model").textContent = `Network ${model.name}, ${model.dimensions} values an embedding; the catalogue is in ${store}.`;
  // Strokes are gray: a network that counts colours was not made for them.
  show(at("draw"), model.layers[0].shape[0] === 1);
  at("server").textContent = `${whole(ready.pictures)} pictures`;
  show(at("server"), true);
}

/** Loads the catalogue's beginning and searches with its first product, so that there is something to look at. */
async function start() {
  try {
    described = describe();
    // What it cannot learn, nothing else here can; the catalogue's refusal is the one that is told.
    described.catch(() => {});
    const product = await strip.first();
    if (query) await run();
    else if (product) await take(ofProduct(product));
    strip.show(query?.product?.id);
    await described;
    if (!query) {
      at("found-title").textContent = "The catalogue is empty";
      at("said").textContent = "Products come in by POST /v1/imports, or by `spikelens import` before the server starts. A picture can be tried all the same.";
    }
  } catch (error) {
    refused(error);
  }
}

startTheme();
startCopy();
startFiles((given) => take(given).then(lookAtFound));
startPad((blob) => blob && take(ofBlob("drawing", blob, "Your drawing")));
start();

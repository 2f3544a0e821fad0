// The page: what is asked of the service, in which order, and where its answers are shown.

import { Refusal, address, json, namedProduct, productPath } from "./api.js";
import { Groups, LAST, nextPage } from "./arrange.js";
import { FloorPlan, showInside } from "./chip.js";
import { hideLine, recommendLine, searchLine, showLine, startCopy } from "./curl.js";
import { at, figure, painted, show, whole } from "./dom.js";
import { startPad } from "./draw.js";
import { showEnergy } from "./energy.js";
import { showFigures } from "./figures.js";
import { Filters, openFilters } from "./filters.js";
import { K, firstAnswer } from "./first.js";
import { clearMatches, showMatches } from "./matches.js";
import { OneAtATime, tell } from "./notices.js";
import { Strip, ofBlob, ofProduct, showOriginal, startFiles } from "./query.js";
import { Region } from "./region.js";
import { Raster } from "./spikes.js";
import { Steps } from "./steps.js";
import { Taste } from "./taste.js";
import { startTheme } from "./theme.js";

/** How long the page waits for more of the same gesture before it asks. */
const PAUSE_MS = 60;

const floor = new FloorPlan();
const raster = new Raster(floor);
const filters = new Filters(() => soon());
const groups = new Groups(() => soon());
const region = new Region(() => {
  // A part of the picture is looked for, not a taste any more.
  taste.clear();
  soon();
});
const taste = new Taste(() => soon());
const steps = new Steps(() => soon());
const strip = new Strip((query) => take(query), (products) => filters.learn(products));
strip.failed = (error) => refused(error);

let query = null;
let model = null;
let described = null;
/** The matches on screen. */
let found = [];
/** How the ranking on screen is asked for again: path, body and parameters, and how much of it was asked for. */
let ranking = null;
/** The answer of the catalogue's time steps to the query on screen, and which query that is. */
let standard = { of: null, answer: null };
const works = new OneAtATime(filters, refused);
let timer = null;

/** Searches once the gesture rests. */
function soon() {
  clearTimeout(timer);
  timer = setTimeout(run, PAUSE_MS);
}

/** A new picture is searched for. */
function take(given) {
  query = given;
  taste.clear();
  region.clear();
  strip.mark(given.product?.id);
  showOriginal(given);
  return run();
}

/** Asks for what is chosen; true once its answer is on screen. */
async function run() {
  clearTimeout(timer);
  if (!query && !taste.active) {
    works.stop();
    return false;
  }
  // Stored embeddings have their time steps already, and a varied list has one order alone.
  steps.enable(!taste.active);
  groups.enable(!taste.varied);
  return work(taste.active ? recommend : search);
}

/** Does one thing in place of what is still under way; true once it is on screen. */
function work(task) {
  return works.run(task);
}

async function search(signal) {
  const start = performance.now();
  const asked = query;
  const chosen = { filter: filters.text, group_by: groups.name };
  const options = { k: K, region: region.parameter, ...chosen };
  const parameters = { ...options, facets: JSON.stringify(filters.facets), time_steps: steps.parameter };
  const post = async (given) => {
    const body = await asked.blob(signal);
    return json(address("/v1/search", given), { method: "POST", body, type: asked.type, signal });
  };
  const plain = !options.filter && !options.group_by && !options.region && !parameters.time_steps;
  const answer = (plain && (await firstAnswer(asked.product?.id))) || (await post({ ...parameters, embedding: "true", trace: "true" }));
  const stated = JSON.stringify(options);
  if (standard.of !== asked || standard.stated !== stated) {
    standard = { of: asked, stated, answer: steps.parameter === "" ? answer : await post(options) };
    steps.learn(standard.answer.time_steps);
  }
  signal.throwIfAborted();
  // The embedding stands for the picture from here on: nothing is emulated again.
  ranking = { path: "/v1/search", body: { embedding: answer.embedding }, parameters: chosen, asked: K };
  showFound(answer, asked);
  showLine(searchLine(asked, { ...parameters, trace: "true" }), asked);
  await painted();
  measure(start);
  await Promise.all([described, countOwn(signal)]);
  signal.throwIfAborted();
  showRun(answer);
}

/** Asks for the ranking on screen with other parameters. */
const askRanking = (parameters, signal) => {
  const { path, body, parameters: given } = ranking;
  return json(address(path, { ...given, ...parameters }), { method: "POST", body: JSON.stringify(body), type: "application/json", signal });
};

const countOwn = (signal) =>
  filters.countOwn((filter, name) => askRanking({ filter, group_by: "", k: 1, fields: "[]", facets: JSON.stringify([name]) }, signal));

/** Shows the next matches of the ranking below those on screen. */
async function more(signal) {
  const page = nextPage(ranking.asked);
  let answer;
  try {
    answer = await askRanking(page, signal);
  } catch (error) {
    // Another network's embeddings were adopted: this one is of no use any more.
    if (error instanceof Refusal && error.about("embedding")) return search(signal);
    throw error;
  }
  signal.throwIfAborted();
  ranking.asked = page.offset + page.k;
  ranking.ended = answer.matches.length < page.k;
  const ids = new Set(found.map((one) => one.product_id));
  const fresh = answer.matches.filter((one) => !ids.has(one.product_id));
  const first = found.length;
  list([...found, ...fresh]);
  at("matches").children[first]?.querySelector(".picture").focus({ preventScroll: true });
}

/** Shows what was found; it is on screen before the run is drawn. */
function showFound(answer, asked) {
  const { prediction, trace } = answer;
  at("found-title").textContent = answer.matches.length ? likeness(prediction) : "Nothing found";
  at("took").textContent = `Answered in ${figure(answer.timing.total_ms)} ms, measured here`;
  count(answer);
  list(answer.matches);
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
  const taken = taste.body;
  const chosen = { filter: filters.text, group_by: groups.name };
  const body = {
    ...taken, k: K,
    ...(filters.text ? { filter: conditions ?? filters.text } : {}),
    ...(groups.name ? { group_by: groups.name } : {}),
    facets: filters.facets,
  };
  const answer = await json("/v1/recommend", { method: "POST", body: JSON.stringify(body), type: "application/json", signal });
  ranking = { path: "/v1/recommend", body: taken, parameters: chosen, asked: K, ended: taste.varied };
  showLine(recommendLine(body), null);
  at("found-title").textContent = "More to this taste";
  at("took").textContent = `Answered in ${figure(answer.timing.total_ms)} ms, nothing emulated`;
  at("inside-said").textContent = "The last picture's run: a taste is searched for by stored embeddings";
  count(answer);
  list(answer.matches);
  await countOwn(signal);
}

/** Takes what an answer says of all products that pass. */
function count(answer) {
  filters.learn(answer.matches.map((one) => one.product));
  filters.count(answer);
  groups.offer(filters.facets);
  ranking.ended ||= answer.matches.length < K || (!groups.name && answer.total <= K);
}

function say(matches) {
  const filtered = filters.text ? " that pass the filter" : "";
  const titles = new Map();
  for (const { product } of matches) titles.set(product.title || product.id, (titles.get(product.title || product.id) ?? 0) + 1);
  const most = [...titles].sort(([, a], [, b]) => b - a).slice(0, 4).map(([title, count]) => `${count} × ${title}`);
  const rest = titles.size > most.length ? " and others" : "";
  const of = `of ${whole(filters.total)} products${filtered}`;
  if (!matches.length) at("said").textContent = `No product${filtered} was found.`;
  else if (groups.name) at("said").textContent = `${whole(matches.length)} groups by ${groups.name}, the best product of each, ${of}`;
  else at("said").textContent = `${whole(matches.length)} ${of}: ${most.join(", ")}${rest}`;
  at("matches").setAttribute("aria-label", `${matches.length} matches${filtered}, best first`);
  show(at("more"), !ranking.ended && ranking.asked < LAST);
  show(at("ended"), !ranking.ended && ranking.asked >= LAST);
}

function list(matches) {
  found = matches;
  say(matches);
  const within = at("matches").contains(document.activeElement);
  showMatches(matches, {
    pick: (product, picture) => take(ofProduct(product, picture)).then(lookAtFound),
    like: (product) => taste.like(product),
    unlike: (product) => taste.unlike(product, stand(product)),
  }, taste.active || region.parameter ? undefined : query?.product?.id, grouped());
  if (within && !at("matches").contains(document.activeElement)) at("found-title").focus({ preventScroll: true });
}

/** What the matches are the best of. */
function grouped() {
  const { name } = groups;
  if (!name) return undefined;
  const open = (value) => {
    groups.none();
    filters.tick(name, value, true);
    at("found-title").focus({ preventScroll: true });
  };
  return { name, countOf: (value) => filters.countOf(name, value), open };
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
  if (error instanceof Refusal && error.about("filter")) {
    filters.refuse(error.detail);
    return;
  }
  tell(error, start);
  if (!taste.active && ["undecodable_image", "unsupported_media_type", "empty_embedding", "too_large"].includes(error.code)) {
    nothingFound();
  }
}

function nothingFound() {
  clearMatches();
  found = [];
  showInside(false);
  hideLine();
  for (const id of ["prepared", "more", "ended"]) show(at(id), false);
  at("found-title").textContent = "This picture was not searched";
  at("said").textContent = at("took").textContent = "";
  at("tradeoff").replaceChildren();
  at("tried").replaceChildren();
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

/** The product that the address names, null where it names none. */
async function named() {
  const id = namedProduct();
  return id ? json(productPath(id)) : null;
}

/** Loads the catalogue's beginning and searches with its first product, so that there is something to look at. */
async function start() {
  try {
    described = describe();
    // What it cannot learn, nothing else here can; the catalogue's refusal is the one that is told.
    described.catch(() => {});
    const first = await strip.first();
    filters.learn(strip.page);
    let missing = null;
    const product = query ? null : await named().catch((error) => {
      if (error.code !== "not_found") throw error;
      missing = error;
    });
    if (query) await run();
    else if (product ?? first) await take(ofProduct(product ?? first));
    if (missing) refused(missing);
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
openFilters();
at("more").addEventListener("click", () => work(more));
addEventListener("hashchange", async () => {
  const product = await named().catch(refused);
  if (product) take(ofProduct(product)).then(lookAtFound);
});
startFiles((given) => take(given).then(lookAtFound));
startPad((blob) => blob && take(ofBlob("drawing", blob, "Your drawing")));
start();

// The operator's page: what /metrics and /v1/stats tell, kept fresh.

import { Refusal, ask, json } from "./api.js";
import { at, figure, h, short, show, svg, whole } from "./dom.js";
import { askForKey } from "./key.js";
import { byStatus, histograms, parse, quantile, since, value } from "./metrics.js";
import { startTheme } from "./theme.js";

const EVERY_MS = 2000;
/** Scrapes of the last minute, and one before it. */
const KEPT = 31;
/** The stats list imports: they are asked for often only while one runs. */
const STATS_EVERY_MS = 10_000;

const STORES = { sqlite: "SQLite", postgresql: "PostgreSQL" };

const scrapes = [];
let stats = null;
let statsAt = -Infinity;

const row = (name, content, note) =>
  h("div", {}, h("dt", {}, name), h("dd", {}, content, note ? h("small", {}, ` ${note}`) : null));
const big = (content, unit, name) => h("div", { class: "big" }, h("dd", {}, content, h("small", {}, ` ${unit}`)), h("dt", {}, name));

/** A share as a bar; `limited` where much of it is bad. */
function meter(share, name, limited = false) {
  const fill = h("span");
  fill.style.width = `${Math.min(100, 100 * share)}%`;
  return h("span", { class: `meter${limited && share > 0.8 ? " high" : ""}`, role: "meter", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * share) }, fill);
}

function spark(values, name) {
  const most = Math.max(1e-9, ...values);
  const points = values.map((value, index) => `${((KEPT - 1 - values.length + index) / (KEPT - 2)) * 100} ${44 - (40 * value) / most}`);
  return svg("svg", { class: "spark", viewBox: "0 0 100 46", preserveAspectRatio: "none", role: "img", "aria-label": name },
    svg("path", { d: points.length > 1 ? `M${points.join("L")}` : "" }));
}

function showPool(series) {
  const [queue, limit] = ["spikelens_queue_seconds", "spikelens_queue_limit_seconds"].map((name) => value(series, name) * 1e3);
  at("pool").replaceChildren(
    big(whole(value(series, "spikelens_chips")), "emulated", "chips of this server"),
    h("div", { class: "big" }, h("dt", {}, `Queue: ${figure(queue)} of ${figure(limit)} ms of work`), h("dd", {}, meter(queue / limit, "Queue against its limit", true))),
    row("Refused as busy or not ready", whole(byStatus(series).get("503") ?? 0)));
}

function showIndex(series) {
  const [products, pictures, removed, unlinked, recall, margin] = ["products", "pictures", "index_removed", "index_unlinked", "index_recall", "index_recall_margin"].map((name) => value(series, `spikelens_${name}`));
  if (pictures === undefined) {
    at("index").replaceChildren(row("Index", "not ready"));
    return;
  }
  at("index").replaceChildren(
    big(whole(pictures), "pictures", `of ${whole(products)} products`),
    recall === undefined ? row("Recall", "not measured yet") : h("div", { class: "big" }, h("dt", {}, `Recall of the ten best: ${(100 * recall).toFixed(1)} ± ${(100 * margin).toFixed(1)} %`), h("dd", {}, meter(recall, "Recall"))),
    row("Search", { graph: "graph", exact: "one by one" }[stats?.index.search] ?? "…"),
    row("Not linked yet", whole(unlinked)),
    row("Removed, still in the index", whole(removed)));
}

function showStore(series) {
  const store = stats?.store;
  if (!store) return;
  const rows = [row("Store", STORES[store.kind])];
  if (store.place) {
    const used = series.find(({ name, labels }) => name === "spikelens_store_connections" && labels.state === "used")?.value;
    const [limit, waited, waits, retries] = ["connections_limit", "wait_seconds_sum", "wait_seconds_count", "retries_total"].map((name) => value(series, `spikelens_store_${name}`));
    rows.push(
      row("Database", h("code", {}, store.place)),
      row("Servers that share it", whole(store.servers)),
      row("Its connections in use", `${whole(used)} of ${whole(limit)}`),
      row("Mean wait for one", waits ? figure((1e3 * waited) / waits) : "–", "ms"),
      row("Conflicts with other writes", whole(retries)));
  }
  at("store").replaceChildren(...rows);
}

function showEmulated(series) {
  const [pictures, spikes, operations, joules] = ["pictures_emulated", "emulated_spikes", "emulated_synaptic_operations", "modelled_energy_joules"].map((name) => value(series, `spikelens_${name}_total`));
  at("emulated").replaceChildren(
    big(figure(joules), "J", "energy of the chip, modelled"),
    row("Pictures", whole(pictures)),
    row("Energy a picture", pictures ? figure((1e3 * joules) / pictures) : "–", "mJ"),
    row("Spikes", short(spikes)),
    row("Synaptic operations", short(operations)));
}

const total = (series) => [...byStatus(series).values()].reduce((sum, count) => sum + count, 0);

function rates() {
  return scrapes.slice(1).map((scrape, index) => {
    const before = scrapes[index];
    return (total(scrape.series) - total(before.series)) / ((scrape.at - before.at) / 1e3);
  });
}

function showTraffic(series) {
  const lately = rates();
  const now = lately.at(-1);
  at("traffic").replaceChildren(
    h("dl", {}, big(now === undefined ? "–" : figure(now), "a second", `${whole(total(series))} since start`)),
    spark(lately, "Requests a second in the last minute"));
  const statuses = [...byStatus(series)].sort(([a], [b]) => a - b);
  at("statuses").replaceChildren(...statuses.map(([status, count]) => row(status, whole(count))));
}

function showLatency(series) {
  const [oldest] = scrapes;
  const before = histograms(oldest.series);
  const seconds = (scrapes.at(-1).at - oldest.at) / 1e3;
  const written = (found) => (found === undefined ? "–" : `${found.beyond ? "> " : ""}${figure(found.ms)}`);
  const rows = [...histograms(series)].map(([route, buckets]) => {
    const lately = since(buckets, before.get(route));
    return { route, buckets, lately, count: buckets.at(-1)[1], rate: seconds ? lately.at(-1)[1] / seconds : 0 };
  });
  rows.sort((a, b) => b.count - a.count);
  at("latency").replaceChildren(...rows.map(({ route, buckets, lately, count, rate }) =>
    h("tr", {}, h("th", { scope: "row" }, route), h("td", {}, whole(count)), h("td", {}, rate ? figure(rate) : "0"),
      [0.5, 0.95, 0.99].map((share) => h("td", {}, written(quantile(buckets, share)))),
      h("td", {}, written(quantile(lately, 0.99))))));
}

function showImports(series) {
  const open = value(series, "spikelens_imports_open");
  if (!open || !stats?.imports.length) {
    at("imports").replaceChildren(h("p", { class: "hint" }, open ? "…" : "None is running."));
    return;
  }
  at("imports").replaceChildren(...stats.imports.map((one) => {
    // Products that were missing are deleted, too, and no lines.
    const ended = Math.min(one.received, one.stored + one.merged + one.deleted + one.failed);
    const left = one.seconds_left === null ? "" : `, about ${whole(Math.ceil(one.seconds_left))} s left`;
    const state = one.state === "receiving" ? "lines come in" : `${whole(ended)} of ${whole(one.received)} lines${left}`;
    return h("div", { class: "import" },
      h("div", { class: "between wrap" }, h("code", {}, one.id), h("span", {}, `${state}${one.failed ? `, ${whole(one.failed)} refused` : ""}`)),
      meter(one.received ? ended / one.received : 0, `Import ${one.id}`));
  }));
}

async function readiness() {
  try {
    const { reembedding: anew } = await json("/readyz");
    const progress = anew && `embedding anew by ${anew.model.name}, T = ${anew.time_steps}: ${whole(anew.done)} of ${whole(anew.total)}`;
    say("good", anew ? `Ready; ${progress}` : "Ready: searches are answered");
    show(at("loading"), Boolean(anew));
    if (anew) at("loading").replaceChildren(h("progress", { max: anew.total, value: anew.done, "aria-label": "Embedding anew" }));
    return true;
  } catch (error) {
    if (error.code === "unreachable") throw error;
    say("bad", `${error.detail[0].toUpperCase()}${error.detail.slice(1)}`);
    const [, done, all] = error.detail.match(/\((\d+) of (\d+)\)/) ?? [];
    show(at("loading"), Number(all) > 0);
    if (Number(all)) at("loading").replaceChildren(h("progress", { max: all, value: done, "aria-label": "Catalogue" }));
    return false;
  }
}

function say(lamp, text) {
  at("lamp").className = `lamp ${lamp}`;
  // A live region that is written anew each time would be read out each time.
  if (at("state").textContent !== text) at("state").textContent = text;
}

async function refresh() {
  const ready = await readiness();
  const series = parse(await (await ask("/metrics")).text());
  scrapes.push({ at: performance.now(), series });
  if (scrapes.length > KEPT) scrapes.shift();
  const due = value(series, "spikelens_imports_open") > 0 || performance.now() - statsAt > STATS_EVERY_MS;
  if (ready && due) {
    statsAt = performance.now();
    stats = await json("/v1/stats");
  }
  for (const part of [showPool, showIndex, showStore, showEmulated, showTraffic, showLatency, showImports]) part(series);
  at("asked").textContent = `As of ${new Date().toLocaleTimeString("en-GB")}`;
}

async function watch() {
  try {
    // Nobody looks at a page that is hidden.
    if (!document.hidden) await refresh();
    show(at("notice"), false);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 401) {
      say("", "A key is needed");
      askForKey(error, watch);
      return;
    }
    if (error.code === "unreachable") say("bad", "Not reachable");
    at("notice").textContent = error.detail;
    show(at("notice"), true);
  }
  setTimeout(watch, EVERY_MS);
}

startTheme();
watch();

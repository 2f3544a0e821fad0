// The service as the page asks it: keys, refusals in words, waiting where the server says so.

const KEY = "spikelens-key";
/** How often a full queue is tried again before the page says so. */
const TRIES = 3;

/** What the server refused, or that it cannot be reached. */
export class Refusal extends Error {
  constructor(status, code, detail, errors = [], retryAfter = 1) {
    super(detail);
    Object.assign(this, { status, code, detail, errors, retryAfter });
  }

  /** Whether it is about that field or something within it. */
  about(field) {
    return this.errors.some((error) => error.field === field || error.field.startsWith(`${field}.`));
  }
}

/** The key of this tab, where there is one. */
export const key = () => sessionStorage.getItem(KEY);

/** Keeps a key for this tab, or forgets it. */
export function keep(given) {
  if (given) sessionStorage.setItem(KEY, given);
  else sessionStorage.removeItem(KEY);
}

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

async function once(path, { method = "GET", body, type, signal } = {}) {
  const headers = {};
  if (key()) headers.authorization = `Bearer ${key()}`;
  if (type) headers["content-type"] = type;
  let response;
  try {
    response = await fetch(path, { method, body, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "unreachable", "The server cannot be reached; is it still running?");
  }
  if (response.ok) return response;
  let problem = {};
  try {
    problem = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  const seconds = Number(response.headers.get("retry-after")) || 1;
  const detail = problem.detail ?? `The server answered ${response.status} ${response.statusText}.`;
  throw new Refusal(response.status, problem.code ?? "unknown", detail, problem.errors, seconds);
}

/** A successful response; anything else is thrown as a Refusal. A full queue is tried again. */
export async function ask(path, options = {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once(path, options);
    } catch (error) {
      if (error.code !== "overloaded" || attempt === TRIES) throw error;
      await pause(error.retryAfter, options.signal);
    }
  }
}

/** A successful answer's JSON. */
export async function json(path, options) {
  return (await ask(path, options)).json();
}

/** An address with its parameters, those without a value left out. */
export function address(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const query = given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return query ? `${path}?${query}` : path;
}

/** Where a product is. */
export const productPath = (product) => `/v1/products/${encodeURIComponent(product)}`;

/** Where a product's picture is. */
export const picturePath = (product, picture) =>
  `${productPath(product)}/pictures/${encodeURIComponent(picture)}`;

/** The product that the page's address names after its `#`, if any. */
export const namedProduct = () => new URLSearchParams(location.hash.slice(1)).get("product");

/** The address of a page that is to begin with a product. */
export const namedAddress = (page, product) => `${page}#product=${encodeURIComponent(product)}`;

const fetched = new Map();
const MOST_FETCHED = 400;

/** Shows a picture of the server; with a key it has to be fetched, since an element cannot send one. */
export async function picture(image, path) {
  image.dataset.path = path;
  if (!key()) {
    image.src = path;
    return;
  }
  if (!fetched.has(path)) {
    fetched.set(path, ask(path).then((response) => response.blob()).then((blob) => URL.createObjectURL(blob)));
    if (fetched.size > MOST_FETCHED) {
      const [oldest, url] = fetched.entries().next().value;
      fetched.delete(oldest);
      url.then((url) => URL.revokeObjectURL(url), () => {});
    }
  }
  try {
    const url = await fetched.get(path);
    if (image.dataset.path === path) image.src = url;
  } catch {
    fetched.delete(path);
  }
}

/** Shows a picture of the server once its element comes near the screen. */
export function lazily(image, path) {
  waiting.set(image, path);
  near.observe(image);
}

const waiting = new WeakMap();
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    picture(target, waiting.get(target));
  }
}, { rootMargin: "400px" });

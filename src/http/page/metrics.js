// Prometheus' text format, read as far as this server writes it.

/** Every series of a scrape: its name, its labels and its value. */
export function parse(text) {
  const series = [];
  for (const line of text.split("\n")) {
    const [, name, labels, value] = line.match(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/) ?? [];
    if (!name) continue;
    const given = {};
    for (const [, label, content] of (labels ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) given[label] = content;
    series.push({ name, labels: given, value: Number(value) });
  }
  return series;
}

/** The value of a series without labels; undefined where the server does not tell it now. */
export const value = (series, name) => series.find((one) => one.name === name)?.value;

/** Requests by status code. */
export function byStatus(series) {
  const counts = new Map();
  for (const { name, labels, value } of series) {
    if (name === "spikelens_requests_total") counts.set(labels.status, (counts.get(labels.status) ?? 0) + value);
  }
  return counts;
}

/** Histograms by method and route: bounds in seconds, counts below them, in order. */
export function histograms(series) {
  const found = new Map();
  for (const { name, labels, value } of series) {
    if (name !== "spikelens_request_seconds_bucket") continue;
    const key = `${labels.method} ${labels.route}`;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push([labels.le === "+Inf" ? Infinity : Number(labels.le), value]);
  }
  return found;
}

/** What came into a histogram since an earlier scrape. */
export function since(buckets, before) {
  return buckets.map(([bound, count], index) => [bound, count - (before?.[index]?.[1] ?? 0)]);
}

/** A quantile in milliseconds, straight within its bucket; the last bound that is one for what lies beyond. */
export function quantile(buckets, share) {
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total === 0) return undefined;
  const rank = share * total;
  let [least, below] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= rank) {
      if (bound === Infinity) return { ms: least * 1e3, beyond: true };
      const within = count === below ? 1 : (rank - below) / (count - below);
      return { ms: (least + (bound - least) * within) * 1e3, beyond: false };
    }
    [least, below] = [bound, count];
  }
  return undefined;
}

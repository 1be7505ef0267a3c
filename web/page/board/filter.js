// What the reader looks for, kept in the address: it can be shared, and "back" works.

export const STATUSES = ["pending", "processing", "completed", "failed", "cancelled"];
const LIMITS = [25, 50, 100, 200];
const WITHIN = { "1h": 3600e3, "24h": 24 * 3600e3, "7d": 7 * 24 * 3600e3 };
const NAMES = ["status", "model", "text", "within", "since", "until"];

/** The filter, the place in the list and the open job, as the address says. Unknown values count as not given. */
export function readAddress() {
  const given = new URLSearchParams(location.search);
  const view = { cursor: given.get("cursor") ?? "", job: given.get("job") ?? "", limit: Number(given.get("limit")) };
  for (const name of NAMES) view[name] = given.get(name) ?? "";
  if (!STATUSES.includes(view.status)) view.status = "";
  if (!WITHIN[view.within]) view.within = "";
  for (const name of ["since", "until"]) if (Number.isNaN(Date.parse(view[name]))) view[name] = "";
  if (!LIMITS.includes(view.limit)) view.limit = Number(localStorage.getItem("board-limit")) || 50;
  return view;
}

export function addressOf(view) {
  const address = new URLSearchParams();
  for (const name of [...NAMES, "cursor", "job"]) if (view[name]) address.set(name, view[name]);
  if (view.limit !== 50) address.set("limit", view.limit);
  const text = address.toString();
  return text ? `/board?${text}` : "/board";
}

/** The filter as the service takes it; a span like "1h" begins now. */
export function filterOf(view) {
  const filter = {};
  for (const name of ["status", "model", "text", "since", "until"]) if (view[name]) filter[name] = view[name];
  if (view.within) filter.since = new Date(Date.now() - WITHIN[view.within]).toISOString();
  return filter;
}

export const isFiltered = (view) => NAMES.some((name) => name !== "status" && view[name]);

/** Whether a job that was just heard of belongs to what the reader looks for. */
export function matches(job, view) {
  const filter = filterOf(view);
  const created = Date.parse(job.created_at);
  const text = view.text.toLowerCase();
  return (!filter.status || job.status === filter.status)
    && (!filter.model || job.model === filter.model)
    && (!filter.since || created >= Date.parse(filter.since))
    && (!filter.until || created <= Date.parse(filter.until))
    && (!text || job.id.startsWith(text) || job.filenames.some((name) => name.toLowerCase().includes(text)));
}

/** Said in words, for confirmations: 'failed, model u2net, named like "cat"'. */
export function inWords(view) {
  const words = [view.status];
  if (view.model) words.push(`model ${view.model}`);
  if (view.text) words.push(`like “${view.text}”`);
  if (view.within) words.push({ "1h": "of the last hour", "24h": "of the last 24 hours", "7d": "of the last 7 days" }[view.within]);
  if (view.since) words.push(`from ${new Date(view.since).toLocaleString()}`);
  if (view.until) words.push(`until ${new Date(view.until).toLocaleString()}`);
  return words.filter(Boolean).join(", ");
}

/** What an <input type="datetime-local"> shows for a time, and the other way. */
export const toLocal = (time) => {
  if (!time) return "";
  const date = new Date(time);
  return new Date(date - date.getTimezoneOffset() * 60e3).toISOString().slice(0, 16);
};
export const fromLocal = (value) => (value ? new Date(value).toISOString() : "");

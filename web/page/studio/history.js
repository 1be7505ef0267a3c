// Which jobs this browser has made: they come back after a reload. No addresses: they may be signed.

const KEY = "studio.jobs";
const MOST = 300;

function read() {
  return JSON.parse(localStorage.getItem(KEY) ?? "[]");
}

function write(entries) {
  localStorage.setItem(KEY, JSON.stringify(entries.slice(-MOST)));
}

/** Oldest first: {id, name, options}. */
export const remembered = read;

/** Always from what is stored now: another tab may have written meanwhile. */
export function remember(pictures) {
  const fresh = pictures.filter(({ jobId }) => jobId).map(({ jobId, name, options }) => ({ id: jobId, name, options }));
  const ids = new Set(fresh.map(({ id }) => id));
  write([...read().filter(({ id }) => !ids.has(id)), ...fresh]);
}

export function forgetJobs(ids) {
  const gone = new Set(ids);
  write(read().filter(({ id }) => !gone.has(id)));
}

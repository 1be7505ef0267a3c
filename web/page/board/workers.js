// What each slot of each worker does at this moment, and what it has in hand next.

import { addressOf, readAddress } from "./filter.js";
import { count, find, make } from "../dom.js";
import { keep } from "./keep.js";
import { agoTime, going, secondsSince } from "./times.js";

// Three missed heartbeats: the worker hangs, or its machine is gone.
const STALE_SECONDS = 30;

export function showWorkers(workers) {
  const silent = (worker) => secondsSince(worker.heartbeat_at) > STALE_SECONDS;
  find("#no-worker").hidden = workers.length > 0;
  keep(find("#workers"), workers.map((worker) => ({ ...worker, heartbeat_at: silent(worker) ? worker.heartbeat_at : null })), workerOf);
}

function workerOf(worker) {
  const free = Math.max(0, worker.max_concurrent - worker.running.length);
  return make("li", { className: "worker" },
    make("h3", {}, make("span", { className: "name", title: worker.machine }, worker.machine),
      make("span", { className: "soft small number" }, `pid ${worker.pid}`),
      worker.heartbeat_at ? make("span", { className: "badge", "data-status": "warn" }, "last heard of ", agoTime(worker.heartbeat_at)) : null),
    worker.trouble ? make("p", { className: "wrong" }, worker.trouble) : null,
    make("ul", {},
      ...worker.running.map((file) => slotOf(file, "busy")),
      free ? make("li", { className: "slot soft small" }, make("i", { className: "dot" }), count(free, "free slot")) : null,
      ...worker.next.map((file) => slotOf(file, "next"))),
    worker.warm_models.length ? make("p", { className: "soft small" }, `Loaded: ${worker.warm_models.join(", ")}`) : null);
}

const slotOf = (file, kind) =>
  make("li", { className: `slot ${kind}` },
    make("i", { className: "dot" }),
    make("a", { className: "name", href: addressOf({ ...readAddress(), job: file.job_id }), "data-job": file.job_id, title: `${file.filename}, ${file.model}` }, file.filename),
    kind === "next" ? make("span", { className: "soft small" }, "next")
      : make("span", { className: "soft small number since", "data-since": file.started_at ?? "" }, going(file.started_at)));

setInterval(() => {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("#workers .since")) element.textContent = going(element.dataset.since);
}, 1000);

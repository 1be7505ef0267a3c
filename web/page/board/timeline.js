// What happened to the open job, in order.

import { make } from "../dom.js";
import { keep } from "./keep.js";
import { clock, exact, secondsSince, span } from "./times.js";

const ACTS = {
  cancel: "Cancelled", retry: "Failed files queued again", priority: "Priority changed",
  failed: "A picture failed", attempt_failed: "An attempt failed", worker_lost: "Taken from its worker",
};

export function showTimeline(place, job, history) {
  const happened = [
    { at: job.created_at, what: "Submitted" },
    ...history.map((line) => happenedIn(line, job)),
  ];
  // The first claim is not in the history; a retried job keeps its last one only.
  if (job.started_at) happened.push({ at: job.started_at, what: "Begun", more: `after ${span(secondsSince(job.created_at, Date.parse(job.started_at)))}` });
  if (job.completed_at) {
    const took = job.started_at ? `after ${span(secondsSince(job.started_at, Date.parse(job.completed_at)))}` : "";
    happened.push({ at: job.completed_at, what: { completed: "Completed", failed: "Failed", cancelled: "Ended as cancelled" }[job.status] ?? "Ended", more: took, look: job.status });
  }
  happened.sort((one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : 0));
  keep(place, happened, eventOf);
}

function happenedIn(line, job) {
  const { id, at, act, by, index, code, detail } = line;
  const name = job.filenames.length > 1 && index !== null ? job.filenames[index] : "";
  const more = [detail, code, by && `by ${by}`].filter(Boolean).join(" · ");
  return { id, at, what: ACTS[act] ?? act, name, more, look: by ? "act" : "failed" };
}

const eventOf = ({ at, what, name, more, look }) =>
  make("li", { "data-look": look },
    make("time", { dateTime: at, title: exact(at), className: "small soft number" }, clock(at)),
    make("div", {}, make("b", {}, what), name ? make("span", { className: "name small", title: name }, name) : null, more ? make("p", { className: "soft small" }, more) : null));

// Who did what: the acts of people, newest first.

import { complain, getJson } from "../api.js";
import { addressOf, readAddress } from "./filter.js";
import { find, make } from "../dom.js";
import { keep } from "./keep.js";
import { agoTime } from "./times.js";

const WORDS = { cancel: "cancelled", retry: "retried", priority: "set the priority of", pause: "paused the queue", resume: "resumed the queue" };
const place = find("#audit"), more = find("#audit-more");

export function makeAudit() {
  let newest = [], older = [], next = null;

  /** The newest lines; older ones that were asked for stay below them. */
  async function refresh() {
    const page = await getJson("/queue/history?limit=10");
    const oldest = page.history.at(-1)?.id ?? 0;
    // Who has asked for older lines keeps them, and those that the newest ones push out.
    if (older.length) older = [...newest, ...older].filter((line) => line.id < oldest);
    else next = page.next;
    show(page.history);
  }

  function show(lines) {
    newest = lines;
    keep(place, newest.length ? [...newest, ...older] : [null], lineOf);
    more.hidden = !next;
  }

  async function loadMore() {
    const page = await getJson(`/queue/history?limit=50&cursor=${encodeURIComponent(next)}`);
    older.push(...page.history);
    next = page.next;
    show(newest);
  }

  more.addEventListener("click", () => loadMore().catch(complain));
  return { refresh };
}

function lineOf(line) {
  if (!line) return make("li", { className: "soft small" }, "Nobody has acted on the queue yet.");
  const job = line.job_id && make("a", { href: addressOf({ ...readAddress(), job: line.job_id }), "data-job": line.job_id }, `job ${line.job_id.slice(0, 8)}`);
  return make("li", {},
    make("span", { className: "act" }, make("b", {}, line.by), ` ${WORDS[line.act] ?? line.act} `, job, job && line.detail ? ": " : "", line.detail),
    make("span", { className: "soft small" }, agoTime(line.at)));
}

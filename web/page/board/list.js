// The list: one page of jobs, kept as the reader left it while the jobs themselves go on.

import { getJson } from "../api.js";
import { addressOf, filterOf, isFiltered, matches } from "./filter.js";
import { makeRow, showTime, updateRow } from "./rows.js";
import { button, count, find, make } from "../dom.js";

const body = find("#rows"), list = find("#list"), empty = find("#empty"), fresh = find("#fresh"), counted = find("#list-count");
// How long something goes on already is told anew so often.
const SECOND_MS = 1000;
const newer = find("#newer"), older = find("#older");

/**
 * `go(changes, trail)` shows another address; `changed()` is called when other jobs are shown.
 * The cursors of the pages before this one (`trail`) are kept in the history of the browser.
 */
export function makeList({ go, changed }) {
  let view = null, page = { jobs: [], next: null, total: 0 }, asking = null, waiting = new Map(), frame = 0;
  const unseen = new Set(), rows = new Map(), heard = new Map();

  async function load(next) {
    view = next;
    list.setAttribute("aria-busy", "true");
    await ask(render).catch(showProblem);
  }

  /** `show(answer)` is called, and waited for, unless something else is asked for meanwhile. Throws Problem. */
  async function ask(show) {
    asking?.abort();
    const { signal } = asking = new AbortController();
    heard.clear();
    try {
      const query = new URLSearchParams({ ...filterOf(view), limit: view.limit, ...(view.cursor && { cursor: view.cursor }) });
      const answer = await getJson(`/queue/jobs?${query}`, { signal });
      if (signal.aborted) return;
      await show(answer);
      // What was heard while the answer was on its way may be newer.
      if (!signal.aborted) heard.forEach(take);
    } catch (problem) {
      if (!signal.aborted) throw problem;
    } finally {
      if (!signal.aborted) {
        asking = null;
        list.removeAttribute("aria-busy");
      }
    }
  }

  function render(answer) {
    page = answer;
    unseen.clear();
    waiting.clear();
    rows.clear();
    for (const job of page.jobs) {
      const row = makeRow(job);
      rows.set(job.id, row);
    }
    linkRows();
    body.replaceChildren(...rows.values());
    find("table", list).hidden = rows.size === 0;
    empty.hidden = rows.size > 0;
    if (!rows.size) showEmpty();
    showFresh();
    showCount();
    changed();
  }

  function linkRows() {
    for (const [id, row] of rows) {
      find(".open", row).href = addressOf({ ...view, job: id });
      row.toggleAttribute("data-open", view.job === id);
    }
  }

  function showCount() {
    const trail = history.state?.trail;
    const total = totalText();
    if (!rows.size) counted.textContent = "";
    else if (!view.cursor || trail?.length) {
      const first = (trail?.length ?? 0) * view.limit + 1;
      counted.textContent = `${first.toLocaleString("en")}–${(first + rows.size - 1).toLocaleString("en")} of ${total}`;
    } else counted.textContent = `${count(rows.size, "job")} of ${total}`;
    newer.disabled = !view.cursor;
    newer.textContent = view.cursor && !trail?.length ? "« Newest" : "‹ Newer";
    older.disabled = !page.next;
  }

  const totalText = () => `${page.total_is_exact === false ? "more than " : ""}${page.total.toLocaleString("en")}`;

  function showEmpty() {
    const all = !view.status && !isFiltered(view);
    empty.replaceChildren(
      make("h3", {}, all ? "Nothing has been submitted yet" : isFiltered(view) ? "No job matches" : `No ${view.status} jobs`),
      make("p", { className: "soft" }, all ? "Drop a picture in the studio, or send one to POST /queue/submit." :
        isFiltered(view) ? "Look for less, or in a wider span of time." : QUIET[view.status]),
      all ? make("a", { className: "button", href: "/" }, "Open the studio")
        : button("", () => go(NO_FILTER), "Show all jobs"));
  }

  function showProblem(problem) {
    // What is on the page stays readable; only a page that was never shown makes room for the message.
    rows.clear();
    body.replaceChildren();
    find("table", list).hidden = true;
    empty.hidden = false;
    empty.replaceChildren(
      make("h3", {}, "The list could not be loaded"),
      make("p", { className: "bad", role: "alert" }, problem.message),
      button("", () => load(view), "Try again"),
      view.cursor ? button("quiet", () => go({ cursor: "" }), "To the newest jobs") : null);
    counted.textContent = "";
    changed();
  }

  /** A job of which the stream tells. */
  function hear(job) {
    if (asking) heard.set(job.id, job);
    take(job);
  }

  /** A job that changed: its row says so at once. A job that is not shown is only counted. */
  function take(job) {
    waiting.set(job.id, job);
    frame ||= requestAnimationFrame(flush);
  }

  function flush() {
    frame = 0;
    for (const [id, job] of waiting) {
      const row = rows.get(id);
      if (row) {
        const kept = row.job.status;
        updateRow(row, job);
        if (kept !== job.status) mark(row);
      } else if (belongs(job)) unseen.add(id);
      else unseen.delete(id);
    }
    waiting = new Map();
    if (unseen.size && !rows.size && !asking) load(view);
    else showFresh();
    changed();
  }

  function mark(row) {
    row.classList.remove("moved");
    void row.offsetWidth;
    row.classList.add("moved");
  }

  function belongs(job) {
    if (!view || view.cursor || !matches(job, view)) return false;
    const last = page.jobs.at(-1);
    return !page.next || !last || job.created_at >= last.created_at;
  }

  function showFresh() {
    fresh.hidden = unseen.size === 0;
    fresh.textContent = `${count(unseen.size, view.status ? "more job" : "new job")} — show`;
  }

  /** Ask again without moving anything: while there is no stream, or when it lost its place. */
  const refresh = () => (list.hasAttribute("aria-busy") ? load(view) : ask(renew));

  async function renew(answer) {
    page = { ...answer, jobs: page.jobs };
    answer.jobs.forEach(take);
    showCount();
    // What has left the state that is looked for is shown still, and is in no list.
    const listed = new Set(answer.jobs.map(({ id }) => id)), oldest = answer.next ? answer.jobs.at(-1).created_at : "";
    const left = [...rows.values()].map(({ job }) => job)
      .filter(({ id, created_at, completed_at }) => view.status && !completed_at && created_at >= oldest && !listed.has(id));
    const views = await Promise.allSettled(left.map(({ id }) => getJson(`/queue/job/${id}`)));
    for (const { value } of views) if (value) take(value);
  }

  function turn(cursor, trail) {
    go({ cursor }, trail);
    find("#tabs").scrollIntoView({ block: "nearest" });
  }

  fresh.addEventListener("click", async () => {
    await load(view);
    // The button is gone now.
    find(".open", body)?.focus();
  });
  newer.addEventListener("click", () => {
    const trail = history.state?.trail ?? [];
    turn(trail.at(-1) ?? "", trail.slice(0, -1));
  });
  older.addEventListener("click", () => turn(page.next, [...(history.state?.trail ?? []), view.cursor]));
  setInterval(() => {
    if (document.hidden) return;
    for (const row of rows.values()) if (!row.job.completed_at) showTime(row);
  }, SECOND_MS);

  return {
    load, hear, refresh,
    /** The same list, with another job open beside it. */
    reopen(next) { view = next; linkRows(); },
    row: (id) => rows.get(id),
    rows: () => [...rows.values()],
    total: () => ({ number: page.total, exact: page.total_is_exact !== false, text: totalText() }),
  };
}

export const NO_FILTER = { status: "", model: "", text: "", within: "", since: "", until: "", cursor: "" };
const QUIET = {
  pending: "Nothing waits.",
  processing: "Nothing is being worked on at this moment.",
  completed: "Nothing has been completed yet, or it went with retention.",
  failed: "Nothing has failed. Good.",
  cancelled: "Nobody has cancelled anything.",
};

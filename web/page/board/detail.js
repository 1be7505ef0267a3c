// One job, beside the list on wide screens and over it on narrow ones.

import { getJson } from "../api.js";
import { actButtons } from "./acts.js";
import { makeFiles } from "./files.js";
import { showTimeline } from "./timeline.js";
import { count, duration, find, icon, make, toast } from "../dom.js";
import { keep } from "./keep.js";
import { agoTime } from "./times.js";

const RELOAD_MS = 700;
const wide = matchMedia("(min-width: 1080px)");

/** `close()` is asked for by the reader; `act(kind, job)` by the buttons. */
export function makeDetail({ close, act }) {
  const dialog = find("#detail");
  let job = null, id = "", timer = 0, asked = 0;

  const title = make("h2", { id: "detail-title", className: "name", tabIndex: -1 });
  const badge = make("span", { className: "badge" });
  const code = make("code", { className: "name" });
  const problem = make("p", { className: "notice bad", role: "alert", hidden: true });
  const phase = make("p", { className: "notice", hidden: true });
  const facts = make("dl", { className: "facts" });
  const timeline = make("ol", { className: "timeline" });
  const files = makeFiles();
  const acts = actButtons((kind) => act(kind, job));
  const download = make("a", { className: "button compact", download: "" }, icon("download"), "Download");
  const content = make("div", { className: "content" },
    make("div", { className: "acts" }, ...Object.values(acts), download), phase, facts,
    make("section", {}, make("h3", {}, "Timeline"), timeline), files.element);
  dialog.append(
    make("div", { className: "top" }, make("div", {}, badge, make("button", { type: "button", className: "button quiet icon", "aria-label": "Close", title: "Close (Escape)", onclick: close }, icon("close"))),
      title,
      make("p", { className: "small soft id" }, code, make("button", { type: "button", className: "button quiet icon compact", "aria-label": "Copy the job's id", title: "Copy the job's id", onclick: copyId }, icon("copy")))),
    problem, content);
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  wide.addEventListener("change", () => { if (dialog.open) { dialog.close(); lay(); } });

  const lay = () => (wide.matches ? dialog.show() : dialog.showModal());

  function copyId() {
    navigator.clipboard?.writeText(id).then(() => toast("The id is copied."), () => toast("The browser did not allow it."));
  }

  /** Show a job, or nothing for "". Focus goes to its name, unless the reader only goes along the list. */
  function open(next) {
    if (next === id) return;
    id = next;
    clearTimeout(timer);
    timer = 0;
    document.documentElement.toggleAttribute("data-detail", Boolean(id));
    if (!id) {
      dialog.close();
      return;
    }
    const along = dialog.open;
    job = null;
    content.hidden = true;
    problem.hidden = true;
    title.textContent = "Loading…";
    badge.textContent = "…";
    delete badge.dataset.status;
    code.textContent = id;
    files.begin(id);
    if (!along) lay();
    if (!along || dialog.contains(document.activeElement)) title.focus();
    dialog.scrollTop = 0;
    load();
  }

  async function load() {
    const wanted = id, turn = asked += 1;
    const path = `/queue/job/${encodeURIComponent(wanted)}`;
    try {
      const [view, past] = await Promise.all([getJson(path), getJson(`${path}/history`), files.load()]);
      if (id !== wanted || turn !== asked) return;
      job = view;
      show(view);
      showTimeline(timeline, view, past.history);
      content.hidden = false;
      problem.hidden = true;
    } catch (trouble) {
      if (id !== wanted || turn !== asked) return;
      problem.textContent = trouble.message;
      problem.hidden = false;
      if (!job) title.textContent = "No such job";
    }
  }

  function show(view) {
    const [name = "no file"] = view.filenames, { total, processed, failed } = view.progress;
    title.textContent = total > 1 ? `${name} and ${count(total - 1, "other")}` : name;
    title.title = name;
    badge.dataset.status = view.status;
    badge.textContent = view.status;
    acts.retry.hidden = !(view.status === "failed" || (view.status === "completed" && failed > 0));
    const going = view.status === "pending" || view.status === "processing";
    acts.cancel.hidden = acts.priority.hidden = !going;
    acts.cancel.lastChild.textContent = view.status === "processing" ? "Stop" : "Cancel";
    download.hidden = !processed || going;
    download.href = `/queue/job/${view.id}/result`;
    download.lastChild.textContent = total > 1 ? "Download ZIP" : "Download";
    // A single file says itself what went wrong with it.
    phase.textContent = view.phase_detail || (total > 1 && view.error) || "";
    phase.hidden = !phase.textContent;
    phase.classList.toggle("bad", Boolean(view.error));
    const rows = [
      ["Model", view.model],
      ["Pictures", total > 1 ? `${processed} of ${total} done${failed ? `, ${failed} failed` : ""}` : null],
      ["Priority", view.priority],
      ["Place in the queue", view.position && view.position.toLocaleString("en")],
      ["Done in about", view.estimated_wait_seconds === null ? null : duration(view.estimated_wait_seconds)],
      ["Next attempt", view.next_attempt_at, true],
      ...Object.entries(view.metadata).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]),
    ].filter(([, value]) => value);
    keep(facts, rows, ([name, value, time]) => make("div", {}, make("dt", {}, name), make("dd", {}, time ? agoTime(value) : value)));
  }

  return {
    open,
    /** A job changed: the one that is shown is asked for again, at most so often. */
    take(changed) {
      if (changed.id !== id || timer) return;
      timer = setTimeout(() => { timer = 0; load(); }, job ? RELOAD_MS : 0);
    },
    reload: () => id && load(),
    job: () => job,
  };
}

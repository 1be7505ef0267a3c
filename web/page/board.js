// The board: what the address says is shown, what happens on the queue is shown too.

import { complain, getJson } from "./api.js";
import { act } from "./board/acts.js";
import { makeAudit } from "./board/audit.js";
import { makeDetail } from "./board/detail.js";
import { addressOf, readAddress } from "./board/filter.js";
import { makeFilters } from "./board/filter-bar.js";
import { listenToKeys } from "./board/keys.js";
import { makeList } from "./board/list.js";
import { makeOverview } from "./board/overview.js";
import { makeSelection } from "./board/selection.js";
import { find } from "./dom.js";
import { follow } from "./events.js";
import { showState } from "./header.js";
import { seldom } from "./board/seldom.js";
import { refreshTimes } from "./board/times.js";

const TIMES_MS = 1000, AUDIT_MS = 5000;
let view = readAddress();
let opener = "";

const audit = makeAudit();
const overview = makeOverview({ acted: audit.refresh });
const list = makeList({ go: (changes, trail) => go(changes, { trail }), changed: () => selection.follow() });
const selection = makeSelection(list, actOnSelection);
const detail = makeDetail({ close: closeDetail, act: (kind, job) => run(kind, { jobs: [job] }) });
const showFilters = makeFilters(go);
// Others act too, and what they do moves the counts.
const askAudit = seldom(audit.refresh, AUDIT_MS);

/** Show another address. `trail`: cursors of the pages before this one. */
function go(changes, { replace = false, trail } = {}) {
  const next = { ...view };
  for (const [name, value] of Object.entries(changes)) if (value !== undefined) next[name] = value;
  const same = addressOf({ ...next, job: "" }) === addressOf({ ...view, job: "" });
  const state = { trail: trail ?? (same ? history.state?.trail : undefined) ?? [], opened: Boolean(next.job) && (replace ? history.state?.opened : true) };
  history[replace ? "replaceState" : "pushState"](state, "", addressOf(next));
  show(next);
}

function show(next) {
  const same = addressOf({ ...next, job: "" }) === addressOf({ ...view, job: "" });
  view = next;
  showFilters(view);
  overview.look(view);
  detail.open(view.job);
  if (same) list.reopen(view);
  else {
    selection.clear();
    list.load(view);
  }
}

function openJob(id) {
  opener = id;
  go({ job: id }, { replace: Boolean(view.job) });
}

function closeDetail() {
  const last = view.job;
  go({ job: "" }, { replace: true });
  const row = list.row(last) ?? list.row(opener);
  if (row) find(".open", row).focus();
}

async function run(kind, scope) {
  if (!(await act(kind, scope))) return;
  audit.refresh().catch(complain);
  // Where no stream tells what changed, the page asks.
  if (scope.jobs) return again();
  selection.clear();
  list.load(view);
  detail.reload();
}

/** What is shown, asked for again. */
function again() {
  list.refresh().catch(complain);
  detail.reload();
}

function actOnSelection(kind) {
  if (selection.whole()) run(kind, { filter: view });
  else if (selection.any()) run(kind, { jobs: selection.jobs() });
}

/** The row that the reader is on: with the focus in it, or open. */
const hereRow = () => document.activeElement.closest("#rows tr") ?? list.row(view.job);

listenToKeys({
  move(step) {
    const rows = list.rows(), at = rows.indexOf(hereRow());
    const row = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step];
    if (!row) return;
    if (view.job) openJob(row.job.id);
    if (!document.activeElement.closest("#detail")) find(".open", row).focus();
    row.scrollIntoView({ block: "nearest" });
  },
  escape() {
    if (view.job) closeDetail();
    else if (selection.any()) selection.clear();
    else return false;
    return true;
  },
  select() {
    const row = hereRow();
    if (row) selection.toggle(row);
  },
  act(kind) {
    const row = hereRow();
    if (selection.any()) actOnSelection(kind);
    else if (row) run(kind, { jobs: [row.job] });
  },
  fresh: () => find("#fresh").hidden || find("#fresh").click(),
  page: (step) => find(step < 0 ? "#newer" : "#older").click(),
});

// Links within the board need no new page; with Ctrl or another button they stay links.
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest("a[href]");
  if (link?.origin === location.origin && link.pathname === "/board" && !link.closest(".bar")) {
    event.preventDefault();
    if (link.dataset.job) openJob(link.dataset.job);
    else if (link.closest("#rows")) openJob(link.closest("tr").dataset.id);
    else go({ status: link.dataset.status === "all" ? "" : link.dataset.status, cursor: "", job: "" });
    return;
  }
  const row = event.target.closest("#rows tr");
  if (row && !link && !event.target.closest("td.pick") && !String(getSelection())) openJob(row.dataset.id);
});
addEventListener("popstate", () => show(readAddress()));
setInterval(() => { if (!document.hidden) refreshTimes(); }, TIMES_MS);

showFilters(view);
overview.look(view);
list.load(view);
detail.open(view.job);
askAudit();
let linked = "";
follow(
  {
    stats(stats) {
      overview.show(stats);
      askAudit();
    },
    job(job) {
      list.hear(job);
      detail.take(job);
      overview.changed();
    },
    reset: again,
    state(state) {
      // The stream tells what happens from now on: what was before, since the lists were loaded, it does not.
      if (state === "live" && linked !== "live") again();
      linked = state;
      showState(state);
    },
  },
  async () => {
    await list.refresh();
    const job = detail.job();
    if (job && !job.completed_at) detail.reload();
  },
);
getJson("/queue/stats").then(overview.show).catch(complain);

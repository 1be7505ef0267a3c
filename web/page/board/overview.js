// Above the list: is it running, how fast, how much waits, and what the workers do.

import { getJson, postJson } from "../api.js";
import { confirm } from "./confirm.js";
import { STATUSES, addressOf } from "./filter.js";
import { showThroughput } from "./throughput.js";
import { showWorkers } from "./workers.js";
import { count, duration, find, make, toast } from "../dom.js";
import { seldom } from "./seldom.js";
import { clock, going } from "./times.js";

const STATES = { running: ["Running", "completed"], paused: ["Paused", "paused"], stopped: ["No worker", "failed"] };
const WORKERS_MS = 1500, THROUGHPUT_MS = 10000, STILL_MS = 15000;

export function makeOverview({ acted }) {
  let stats = null, view = null;
  const pauseButton = find("#pause");
  const askWorkers = seldom(async () => showWorkers((await getJson("/queue/workers")).workers), WORKERS_MS);
  const askThroughput = seldom(async () => showThroughput((await getJson("/queue/throughput?minutes=60")).minutes), THROUGHPUT_MS);

  function show(body) {
    const before = stats;
    stats = body;
    const { worker, files } = body;
    const paused = body.paused ?? worker.status === "paused";
    const [word, look] = STATES[worker.status === "stopped" ? "stopped" : paused ? "paused" : "running"];
    const state = find("#run-state");
    state.textContent = word;
    state.dataset.status = look;
    find("#run-detail").textContent = `${worker.active_jobs} of ${count(worker.max_concurrent, "slot")} busy`;
    find("use", pauseButton).setAttribute("href", `/page/icons.svg#${paused ? "play" : "pause"}`);
    find("span", pauseButton).textContent = paused ? "Resume" : "Pause";
    pauseButton.classList.toggle("primary", paused);
    pauseButton.disabled = false;
    showNotices(paused, worker, body);
    find("#per-minute").textContent = perMinute(body.per_minute);
    find("#waiting").textContent = files.pending.toLocaleString("en");
    find("#drained").textContent = !files.pending ? "nothing to do" : paused ? "none is begun" :
      body.per_minute > 0 ? `about ${duration((files.pending / body.per_minute) * 60)} of work` : "speed not known yet";
    document.title = `${files.pending ? `${files.pending.toLocaleString("en")} waiting · ` : ""}Queue board`;
    showOldest();
    showTabs();
    if (before && (before.paused ?? paused) !== paused) find("#said").textContent = paused ? "The queue is paused." : "The queue goes on.";
    changed();
  }

  /** Anything moved: what the workers do and the last minute are asked for again, but seldom. */
  function changed() {
    askWorkers();
    askThroughput();
  }

  function showNotices(paused, worker, body) {
    const notices = [];
    if (paused) {
      notices.push(make("p", { className: "notice", id: "paused" }, make("b", {}, "The queue is paused. "),
        `What runs is finished, and nothing new is begun until somebody resumes it. Submits are taken; ${count(body.files.pending, "picture waits", "pictures wait")}.`));
    }
    if (worker.status === "stopped") {
      notices.push(make("p", { className: "notice bad" }, make("b", {}, "No worker has been heard of. "),
        "Jobs wait safely. Start the service again, or look in its log for the reason."));
    } else if (worker.trouble) notices.push(make("p", { className: "notice bad" }, make("b", {}, "Trouble: "), worker.trouble));
    const place = find("#notices");
    const said = notices.map((notice) => notice.textContent).join();
    if (place.dataset.said === said) return;
    place.dataset.said = said;
    place.replaceChildren(...notices);
  }

  function showOldest() {
    const oldest = stats?.oldest_waiting_at;
    find("#oldest").textContent = going(oldest) || "–";
    find("#oldest-since").textContent = oldest ? `since ${clock(oldest)}` : "nothing waits";
  }

  function showTabs() {
    if (!stats || !view) return;
    const place = find("#tabs");
    if (!place.children.length) {
      place.append(...["", ...STATUSES].map((status) =>
        make("a", { "data-status": status || "all" }, make("span", {}, status || "all"), make("b", { className: "number" }))));
    }
    ["", ...STATUSES].forEach((status, index) => {
      const tab = place.children[index];
      const number = stats.stats[status || "total"], text = number.toLocaleString("en");
      if (tab.lastChild.textContent !== text) tab.lastChild.textContent = text;
      tab.lastChild.classList.toggle("zero", !number);
      tab.href = addressOf({ ...view, status, cursor: "", job: "" });
      if (view.status !== status) tab.removeAttribute("aria-current");
      else if (!tab.hasAttribute("aria-current")) {
        tab.setAttribute("aria-current", "true");
        // On a phone the tabs are wider than the screen.
        place.scrollLeft = tab.offsetLeft - place.offsetLeft - 24;
      }
    });
  }

  pauseButton.addEventListener("click", async () => {
    const paused = stats.paused ?? stats.worker.status === "paused";
    const waiting = count(stats.files.pending, "picture that waits", "pictures that wait");
    const agreed = await confirm(paused
      ? { title: "Resume the queue?", text: [`Work on the ${waiting} goes on at once.`], yes: "Resume" }
      : { title: "Pause the queue?", text: ["What runs is finished. Nothing new is begun until somebody resumes the queue, also after a restart.", `Submits are still taken; ${waiting} will go on waiting.`], yes: "Pause" });
    if (!agreed) return;
    try {
      await postJson(paused ? "/queue/resume" : "/queue/pause");
      show(await getJson("/queue/stats"));
      toast(paused ? "The queue goes on." : "The queue is paused.");
      await acted();
    } catch (problem) {
      toast(problem.message);
    }
  });
  setInterval(() => { if (!document.hidden) { showOldest(); changed(); } }, STILL_MS);

  return {
    show, changed,
    look(next) { view = next; showTabs(); },
  };
}

const perMinute = (number) => (number === undefined ? "–" : number.toLocaleString("en", { maximumFractionDigits: number < 10 ? 1 : 0 }));

// One row of the list for one job. A row stays where it is; only what it says changes.

import { count, find, make } from "../dom.js";
import { agoTime, exact, going, secondsSince, span } from "./times.js";

const cell = (className, ...children) => make("td", { role: "cell", className }, ...children);

// Copied for each job: three times as fast as made anew.
const PATTERN = make("tr", { role: "row" },
  cell("pick", make("input", { type: "checkbox" })),
  cell("state", make("span", { className: "badge" })),
  cell("what", make("a", { className: "name open" }), make("span", { className: "more soft small" }), make("p", { className: "line small" })),
  cell("model name small"), cell("when small"), cell("took small number"));

export function makeRow(job) {
  const row = PATTERN.cloneNode(true);
  row.dataset.id = job.id;
  find(".when", row).append(agoTime(job.created_at));
  updateRow(row, job);
  return row;
}

export function updateRow(row, job) {
  row.job = job;
  const [name = "no file"] = job.filenames;
  const badge = find(".badge", row);
  const link = find(".open", row);
  badge.dataset.status = job.status;
  setText(badge, job.status);
  setText(link, name);
  link.title = name;
  // The list sets the address: it depends on the filter.
  find("input", row).setAttribute("aria-label", `Select ${name}, ${job.status}`);
  setText(find(".more", row), job.progress.total > 1 ? `+${(job.progress.total - 1).toLocaleString("en")}` : "");
  showLine(find(".line", row), job);
  const model = find(".model", row);
  setText(model, job.model);
  model.title = job.model;
  showTime(row);
}

/** What else is to be known of a job at a glance: its error, how far it is, or that it is more or less urgent. */
function showLine(line, job) {
  const { total, processed, failed } = job.progress;
  const going = job.status === "processing" || job.status === "pending";
  const parts = [];
  if (job.priority !== "normal" && going) parts.push(`${job.priority} priority`);
  if (total > 1 && (job.status === "processing" || processed + failed > 0)) parts.push(`${processed} of ${total} done`);
  if (failed > 0 && (total > 1 || !job.error)) parts.push(count(failed, "failed file"));
  if (job.status === "failed" && job.error) parts.push(job.error);
  else if (going && job.phase_detail) parts.push(job.phase_detail);
  const text = parts.join(" · ");
  line.classList.toggle("bad", failed > 0 || job.status === "failed");
  line.title = text;
  if (line.dataset.text === text) return;
  line.dataset.text = text;
  line.replaceChildren(text);
  if (total > 1 && job.status === "processing") {
    const part = make("i");
    part.style.setProperty("--part", (processed + failed) / total);
    line.prepend(make("span", { className: "meter" }, part));
  }
}

/** How long it took, has taken until now, or has waited. Called each second for jobs that go on. */
export function showTime(row) {
  const { status, created_at, started_at, completed_at } = row.job;
  const shown = find(".took", row);
  if (status === "pending") setText(shown, `waits ${going(created_at)}`);
  else if (status === "processing") setText(shown, going(started_at));
  else setText(shown, started_at && completed_at ? span(secondsSince(started_at, Date.parse(completed_at))) : "–");
  shown.title = completed_at ? `Ended ${exact(completed_at)}` : "";
}

const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

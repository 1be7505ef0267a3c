// Which jobs are meant: rows that were ticked, or all that match the filter.

import { actButtons } from "./acts.js";
import { button, count, find, icon, make } from "../dom.js";

const bar = find("#selection"), pickPage = find("#pick-page"), rowsPlace = find("#rows");

/** `act(kind, whole)` is called by the buttons; `list` tells the rows and how many jobs match. */
export function makeSelection(list, act) {
  const picked = new Set();
  let whole = false, anchor = null;

  const said = make("b", { className: "number", role: "status" });
  const all = button("compact quiet", selectAll);
  bar.append(said, all, make("span", { className: "acts" }, ...Object.values(actButtons(act))),
    make("button", { type: "button", className: "button compact quiet icon", "aria-label": "Select nothing", title: "Select nothing (Escape)", onclick: clear }, icon("close")));

  function pick(row, on) {
    if (on) picked.add(row.job.id);
    else picked.delete(row.job.id);
    whole = false;
  }

  function show() {
    const rows = list.rows();
    for (const row of rows) {
      const on = whole || picked.has(row.job.id);
      find("input", row).checked = on;
      row.toggleAttribute("data-picked", on);
    }
    const number = picked.size;
    pickPage.checked = rows.length > 0 && number === rows.length;
    pickPage.indeterminate = number > 0 && number < rows.length;
    pickPage.disabled = !rows.length;
    bar.hidden = !number;
    const total = list.total();
    const text = whole ? `All ${total.text} jobs that match` : `${count(number, "job")} selected`;
    if (said.textContent !== text) said.textContent = text;
    all.hidden = whole || number < rows.length || total.number <= number;
    all.textContent = `Select all ${total.text} that match`;
  }

  function selectAll() {
    whole = true;
    show();
    // The button is gone now; whoever uses the keyboard is not.
    find(".acts button", bar).focus({ preventScroll: true });
  }

  function clear() {
    const inside = bar.contains(document.activeElement);
    picked.clear();
    whole = false;
    anchor = null;
    show();
    if (inside) pickPage.focus({ preventScroll: true });
  }

  pickPage.addEventListener("change", () => {
    const on = pickPage.checked;
    for (const row of list.rows()) pick(row, on);
    show();
  });
  rowsPlace.addEventListener("click", (event) => {
    if (event.target.type !== "checkbox") return;
    const row = event.target.closest("tr"), rows = list.rows(), on = event.target.checked;
    const from = rows.findIndex((other) => other.job.id === anchor), to = rows.indexOf(row);
    if (event.shiftKey && from >= 0) {
      for (const between of rows.slice(Math.min(from, to), Math.max(from, to) + 1)) pick(between, on);
    } else pick(row, on);
    anchor = row.job.id;
    show();
  });

  return {
    clear,
    toggle(row) { pick(row, !picked.has(row.job.id)); anchor = row.job.id; show(); },
    /** Other rows are shown: what is no longer seen is no longer meant. */
    follow() {
      const present = new Set(list.rows().map((row) => row.job.id));
      for (const id of picked) if (!present.has(id)) picked.delete(id);
      if (!picked.size) whole = false;
      show();
    },
    any: () => picked.size > 0,
    whole: () => whole,
    jobs: () => list.rows().map((row) => row.job).filter((job) => picked.has(job.id)),
  };
}

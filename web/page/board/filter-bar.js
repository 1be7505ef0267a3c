// The fields above the list, for people; what they say goes to the address.

import { getJson } from "../api.js";
import { fromLocal, isFiltered, toLocal } from "./filter.js";
import { NO_FILTER } from "./list.js";
import { find, make } from "../dom.js";

const TYPING_MS = 250;

/** `go(changes, {replace})` shows another address. Returns a function that shows what the address says. */
export function makeFilters(go) {
  const form = find("#filters"), fields = form.elements, range = find(".range", form);
  let timer = 0, typed = false, chosen = false;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // Back to the list: j and k are letters no more.
    fields.text.blur();
  });
  fields.text.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      // One step back for the whole word, not for each letter.
      go({ text: fields.text.value.trim(), cursor: "" }, { replace: typed });
      typed = true;
    }, TYPING_MS);
  });
  fields.text.addEventListener("blur", () => { typed = false; });
  fields.model.addEventListener("change", () => go({ model: fields.model.value, cursor: "" }));
  fields.within.addEventListener("change", () => {
    chosen = fields.within.value === "range";
    if (!chosen) go({ within: fields.within.value, since: "", until: "", cursor: "" });
    else {
      range.hidden = false;
      fields.since.focus();
    }
  });
  for (const name of ["since", "until"]) {
    fields[name].addEventListener("change", () => go({ within: "", since: fromLocal(fields.since.value), until: fromLocal(fields.until.value), cursor: "" }));
  }
  find("#clear").addEventListener("click", () => {
    chosen = false;
    go({ ...NO_FILTER, status: undefined });
    fields.text.focus();
  });
  find("#limit").addEventListener("change", (event) => {
    localStorage.setItem("board-limit", event.target.value);
    go({ limit: Number(event.target.value), cursor: "" });
  });
  loadModels();

  async function loadModels() {
    const { models } = await getJson("/models").catch(() => ({ models: [] }));
    const wanted = fields.model.value;
    const names = models.filter((model) => model.usable).map((model) => model.name);
    for (const name of names) addModel(name);
    fields.model.value = wanted;
  }

  function addModel(name) {
    if (![...fields.model.options].some((option) => option.value === name)) fields.model.append(make("option", { value: name }, name));
  }

  return (view) => {
    if (document.activeElement !== fields.text) fields.text.value = view.text;
    if (view.model) addModel(view.model);
    fields.model.value = view.model;
    const ranged = Boolean(view.since || view.until) || chosen;
    fields.within.value = ranged ? "range" : view.within;
    range.hidden = !ranged;
    fields.since.value = toLocal(view.since);
    fields.until.value = toLocal(view.until);
    find("#limit").value = String(view.limit);
    find("#clear").hidden = !isFiltered(view);
  };
}

// The files of the open job: what came, what was made of it, and why not.

import { complain, getJson } from "../api.js";
import { bytes, count, icon, make } from "../dom.js";
import { keep } from "./keep.js";
import { agoTime, span } from "./times.js";

const PAGE = 100;

export function makeFiles() {
  let id = "", pages = 1;
  const heading = make("h3", {}, "Pictures");
  const list = make("ul", { className: "files" });
  const more = make("button", { type: "button", className: "button compact", hidden: true, onclick: () => { pages += 1; load().catch(complain); } }, `${PAGE} more`);
  const element = make("section", {}, heading, list, more);

  function begin(job) {
    id = job;
    pages = 1;
    list.replaceChildren();
    more.hidden = true;
  }

  async function load() {
    const wanted = id, files = [];
    let after = null;
    for (let page = 0; page < pages; page += 1) {
      const query = after === null ? "" : `&after=${after}`;
      const answer = await getJson(`/queue/job/${encodeURIComponent(wanted)}/files?limit=${PAGE}${query}`);
      files.push(...answer.files);
      after = answer.next;
      if (after === null) break;
    }
    if (id !== wanted) return;
    keep(list, files, fileOf);
    more.hidden = after === null;
  }

  return { element, begin, load };
}

function fileOf(file) {
  return make("li", { "data-status": file.status },
    make("div", { className: "thumbs" }, thumb(file.input_preview, "given", file), thumb(file.result_preview, "cut out", file)),
    make("div", { className: "about" },
      make("p", { className: "first" }, make("span", { className: "name", title: file.filename }, file.filename), make("span", { className: "badge", "data-status": file.status }, file.status)),
      make("p", { className: "soft small number" }, factsOf(file).join(" · ")),
      file.error ? make("p", { className: "wrong" }, file.error, file.error_code ? make("code", { className: "soft" }, ` ${file.error_code}`) : null) : null,
      file.next_attempt_at ? make("p", { className: "small" }, "Tried again ", agoTime(file.next_attempt_at)) : null),
    file.url ? make("a", { className: "button quiet icon", href: file.url, download: "", "aria-label": `Download ${file.filename}`, title: "Download" }, icon("download")) : null);
}

function factsOf(file) {
  const size = (format, amount) => [format?.replace("image/", "").toUpperCase(), amount ? bytes(amount) : null].filter(Boolean).join(" ");
  return [
    file.width ? `${file.width} × ${file.height}` : null,
    [size(file.input_format, file.input_bytes), size(file.content_type, file.output_bytes)].filter(Boolean).join(" → "),
    file.seconds ? span(file.seconds) : null,
    file.attempts > 1 || (file.attempts && file.status !== "completed") ? count(file.attempts, "attempt") : null,
    file.cached ? "taken from an earlier job" : null,
    file.notes?.subject_confidence !== undefined ? `subject ${Math.round(file.notes.subject_confidence * 100)} %` : null,
  ].filter(Boolean);
}

/** A preview that is gone, or was never made, leaves its place with a sign. */
function thumb(url, what, file) {
  const place = make("span", { className: `thumb${what === "cut out" ? " checkered" : ""}` });
  const none = () => place.replaceChildren(icon(file.status === "failed" && what === "cut out" ? "alert" : "picture"));
  if (url) place.append(make("img", { src: url, alt: `${file.filename}, ${what}`, loading: "lazy", onerror: none }));
  else none();
  return place;
}

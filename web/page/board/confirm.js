// Asking before anything is done, in plain words, and showing how far it is.

import { find, make } from "../dom.js";

/** Shows a question; resolves to whether the answer was `yes`. `extras` are elements below the text. */
export function confirm({ title, text, extras = [], yes, no = "Not now", danger = false }) {
  return new Promise((resolve) => {
    const dialog = make("dialog", { "aria-labelledby": "confirm-title", "aria-describedby": "confirm-text" },
      make("form", { method: "dialog" },
        make("h2", { id: "confirm-title" }, title),
        make("div", { id: "confirm-text", className: "sentences" }, ...text.filter(Boolean).map((sentence) => make("p", {}, sentence))),
        ...extras,
        make("div", { className: "buttons" },
          make("button", { className: "button", value: "no" }, no),
          yes ? make("button", { className: `button ${danger ? "danger" : "primary"}`, value: "yes" }, yes) : null)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    find("body").append(dialog);
    dialog.showModal();
  });
}

/** How far an act over many jobs is. `stopped` becomes true when the reader has seen enough. */
export function progress(title) {
  const part = make("i"), said = make("p", { className: "soft number", role: "status" }, "Beginning…");
  const shown = { stopped: false };
  const dialog = make("dialog", { "aria-labelledby": "progress-title", oncancel: (event) => { event.preventDefault(); shown.stopped = true; } },
    make("form", { method: "dialog" }, make("h2", { id: "progress-title" }, title), make("div", { className: "meter" }, part), said,
      make("div", { className: "buttons" },
        make("button", { className: "button", type: "button", onclick: () => { shown.stopped = true; said.textContent = "Stopping…"; } }, "Stop here"))));
  find("body").append(dialog);
  dialog.showModal();
  shown.show = (done, left) => {
    part.style.setProperty("--part", done / Math.max(1, done + left));
    said.textContent = `${done.toLocaleString("en")} of ${(done + left).toLocaleString("en")}`;
  };
  shown.close = () => dialog.remove();
  return shown;
}

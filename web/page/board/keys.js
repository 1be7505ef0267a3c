// Everything by keyboard. Single keys can be switched off: speech input types letters by accident (WCAG 2.1.4).

import { find, make } from "../dom.js";

const HELP = [
  ["j, ↓", "next job"], ["k, ↑", "job before"], ["Enter", "open the job"], ["Escape", "close, or select nothing"],
  ["x", "select the job"], ["Shift + click", "select a range"], ["r", "retry the job or the selection"],
  ["c", "cancel the job or the selection"], ["n", "show new jobs"], ["[  ]", "newer and older page"], ["/", "search"], ["?", "this help"],
];
const OFF = "board-keys-off";

/** `on` has move(step, target), escape() → whether it did something, select(), act(kind), fresh(), page(step). */
export function listenToKeys(on) {
  const search = find('#filters [name="text"]');
  const acts = {
    j: () => on.move(1), k: () => on.move(-1), x: on.select, r: () => on.act("retry"), c: () => on.act("cancel"),
    n: on.fresh, "[": () => on.page(-1), "]": () => on.page(1), "/": () => search.focus(), "?": showHelp,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog:modal:not(#detail)")) return;
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape") {
      if (typing === search && search.value) return;
      if (typing) typing.blur();
      else if (on.escape()) event.preventDefault();
      return;
    }
    if (typing) return;
    // Arrows only in the list: elsewhere they scroll.
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && event.target.closest("#rows")) on.move(step);
    else if (acts[event.key] && !localStorage.getItem(OFF)) acts[event.key]();
    else return;
    event.preventDefault();
  });
  find("#help").addEventListener("click", showHelp);
}

function showHelp() {
  const box = make("input", {
    type: "checkbox", checked: !localStorage.getItem(OFF),
    onchange: () => (box.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1")),
  });
  const dialog = make("dialog", { "aria-labelledby": "help-title", onclose: () => dialog.remove() },
    make("form", { method: "dialog" },
      make("h2", { id: "help-title" }, "Keyboard"),
      make("dl", { className: "keys" }, ...HELP.map(([key, meaning]) => make("div", {}, make("dt", {}, make("kbd", {}, key)), make("dd", {}, meaning)))),
      make("label", { className: "switch small" }, box, make("span", {}, "Single keys act (Enter, Escape and arrows always do)")),
      make("div", { className: "buttons" }, make("button", { className: "button", autofocus: true }, "Close"))));
  find("body").append(dialog);
  dialog.showModal();
}

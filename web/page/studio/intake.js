// How pictures come in: dropped anywhere, pasted, picked, as a folder, or by address.

import { button, count, find, make, toast } from "../dom.js";

const ENDINGS = /\.(jpe?g|png|webp|bmp|tiff?|gif|hei[cf]|avif)$/i;
const looksLikePicture = ({ name, type }) => type.startsWith("image/") || ENDINGS.test(name);

const inOrder = new Intl.Collator(undefined, { numeric: true }).compare;
const byPath = (a, b) => inOrder(a.webkitRelativePath, b.webkitRelativePath);

/** `onFiles(files)` and `onAddresses(addresses)`, never with none. */
export function takeIn(onFiles, onAddresses) {
  const take = (files, folder) => {
    // A folder holds more than pictures. A file that somebody chose is sent, and the service says what it thinks.
    const wanted = folder ? files.filter(looksLikePicture).sort(byPath) : files;
    const others = files.length - wanted.length;
    if (folder && (others || !files.length)) toast(`${count(wanted.length, "picture")} in the folder; ${count(others, "other file")} left out.`);
    if (wanted.length) onFiles(wanted);
  };
  buttons(take, onAddresses);
  dropping(take, onAddresses);
  addEventListener("paste", (event) => {
    if (event.target.closest("input, textarea, dialog")) return;
    const files = [...event.clipboardData.files];
    const addresses = addressesIn(event.clipboardData.getData("text/plain"));
    if (files.length) take(files, false);
    else if (addresses.length) onAddresses(addresses);
    else return;
    event.preventDefault();
  });
}

function buttons(take, onAddresses) {
  for (const [button, input, folder] of [["#pick", "#files", false], ["#pick-folder", "#folder", true]]) {
    const chooser = find(input);
    find(button).addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", () => {
      const files = [...chooser.files];
      chooser.value = "";
      if (files.length) take(files, folder);
    });
  }
  // Phones have no folders to choose.
  find("#pick-folder").hidden = !("webkitdirectory" in find("#folder")) || matchMedia("(pointer: coarse)").matches;
  find("#pick-address").addEventListener("click", () => askForAddress(onAddresses));
}

function dropping(take, onAddresses) {
  const veil = find("#veil");
  // Files of the system, and what is dragged here from another page.
  const ours = ({ dataTransfer: { types } }) => types.includes("Files") || types.includes("text/uri-list");
  // Entering a child is a leave of its parent: the veil itself takes the events once it is there.
  // Our own pictures are not to be dropped on us again.
  addEventListener("dragstart", (event) => event.preventDefault());
  addEventListener("dragenter", (event) => { if (ours(event)) veil.hidden = false; });
  addEventListener("dragover", (event) => { if (ours(event)) event.preventDefault(); });
  veil.addEventListener("dragleave", () => { veil.hidden = true; });
  addEventListener("drop", async (event) => {
    veil.hidden = true;
    if (!ours(event)) return;
    event.preventDefault();
    // Both are only there until this function first waits.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = [...event.dataTransfer.files];
    const addresses = addressesIn(event.dataTransfer.getData("text/uri-list"));
    if (entries.some((entry) => entry.isDirectory)) take(await filesIn(entries), true);
    else if (files.length) take(files, false);
    else if (addresses.length) onAddresses(addresses);
  });
}

/** Files of dropped folders: the system tells them in no order, and without their paths. */
async function filesIn(entries) {
  const files = [];
  for (const entry of entries.sort((a, b) => inOrder(a.name, b.name))) {
    if (entry.isDirectory) {
      const reader = entry.createReader();
      const inside = [];
      // It gives a hundred at a time, and none at the end.
      for (let some; (some = await promised(reader, "readEntries")).length;) inside.push(...some);
      files.push(...await filesIn(inside));
    } else if (!entry.name.startsWith(".")) {
      files.push(await promised(entry, "file"));
    }
  }
  return files;
}

const promised = (object, method) => new Promise((resolve, reject) => object[method](resolve, reject));

const addressesIn = (text) => text.split(/\s+/).filter((word) => /^https?:\/\/\S+$/i.test(word));

function askForAddress(onAddresses) {
  const input = make("input", { className: "input", id: "address", type: "url", pattern: "https?:.+", required: true });
  const dialog = make("dialog", { "aria-labelledby": "address-title", onclose: () => dialog.remove() });
  const done = (event) => {
    event.preventDefault();
    dialog.close();
    onAddresses([input.value]);
  };
  dialog.append(make("form", { onsubmit: done },
    make("h2", { id: "address-title" }, "A picture by its address"),
    make("div", { className: "field" },
      make("label", { htmlFor: "address" }, "Address"), input, make("p", { className: "hint" }, "The service fetches it: only from public hosts.")),
    make("div", { className: "buttons" }, button("", () => dialog.close(), "Cancel"), make("button", { className: "button primary" }, "Fetch"))));
  document.body.append(dialog);
  dialog.showModal();
}

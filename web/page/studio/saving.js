// Out with it: one picture as a file or into the clipboard, all of them as a ZIP.

import { Problem } from "../api.js";
import { button, count, icon, make, toast } from "../dom.js";
import { finished } from "./composing.js";
import { pause } from "./lanes.js";
import { nameAs } from "./words.js";
import { Zip } from "./zip.js";

const FORMATS = [
  ["", "Automatic", "PNG, or JPEG once a background fills it."], ["png", "PNG", "Loses nothing."], ["webp", "WebP", "Small, and keeps transparency."],
  ["avif", "AVIF", "Smallest; old programs do not open it."], ["jpg", "JPEG", "White where nothing is."],
];

export class Saving {
  #all = null;

  /** `background()` as Background.asked, `shown()` the picture on the stage. */
  constructor(background, shown) {
    Object.assign(this, { background, shown });
    this.format = make("select", { className: "input", id: "format", "aria-describedby": "format-hint" }, FORMATS.map(([value, name]) => make("option", { value }, name)));
    this.hint = make("p", { className: "hint", id: "format-hint" });
    this.format.addEventListener("change", () => this.#say());
    this.download = button("primary", () => this.#one(this.download, () => this.#save()), icon("download"), "Download");
    this.copy = button("", () => this.#one(this.copy, () => this.#copy()), icon("copy"), "Copy");
    this.download.id = "download";
    // Browsers have a clipboard for pages over https and on localhost only.
    this.copy.hidden = !globalThis.ClipboardItem || !navigator.clipboard?.write;
    this.element = make("section", { className: "section saving", "aria-label": "Download" },
      make("div", { className: "saving-buttons" }, this.download, this.copy),
      make("div", { className: "field in-line" }, make("label", { htmlFor: "format" }, "Format"), this.format), this.hint);
    this.#say();
  }

  #say() {
    this.hint.textContent = FORMATS.find(([value]) => value === this.format.value)[2];
  }

  update() {
    const ready = this.shown()?.state === "done";
    this.download.disabled = !ready || this.download.ariaBusy === "true";
    this.copy.disabled = !ready || this.copy.ariaBusy === "true";
  }

  async #one(button, act) {
    button.ariaBusy = "true";
    this.update();
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Problem || error instanceof DOMException)) throw error;
      toast(error instanceof Problem ? error.message : `The browser did not allow it: ${error.message}`, { label: "Try again", run: () => this.#one(button, act) });
    } finally {
      button.ariaBusy = "false";
      this.update();
    }
  }

  async #save() {
    const picture = this.shown();
    const blob = await finished(picture, this.background(), this.format.value);
    hand(blob, nameAs(picture.name, blob.type));
  }

  async #copy() {
    // The promise goes in as it is: whether a person has just clicked is only known now.
    const blob = finished(this.shown(), this.background(), "png");
    await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]).catch(async (error) => {
      await blob;
      throw error;
    });
    toast("Copied as PNG.");
  }

  get packing() { return this.#all !== null; }

  stop() { this.#all = null; }

  /** All `pictures`; `onProgress(number)` after each. What cannot be had is named at the end. */
  async all(pictures, onProgress) {
    const mine = (this.#all = {});
    try {
      await this.#pack(pictures, onProgress, () => this.#all === mine);
    } finally {
      if (this.#all === mine) this.#all = null;
    }
  }

  async #pack(pictures, onProgress, wanted) {
    const background = this.background(), format = this.format.value;
    const missing = [];
    let zip = new Zip(), part = 1;
    for (const [index, picture] of pictures.entries()) {
      onProgress(index);
      const blob = await patiently(() => finished(picture, background, format), wanted).catch((error) => {
        if (!(error instanceof Problem)) throw error;
        missing.push(`${picture.name}: ${error.message}`);
        return null;
      });
      if (!wanted()) return;
      if (!blob) continue;
      if (!zip.hasRoomFor(blob)) {
        hand(zip.finish(), `cutouts-${part++}.zip`);
        zip = new Zip();
      }
      await zip.add(nameAs(picture.name, blob.type), blob);
    }
    if (missing.length < pictures.length) hand(zip.finish(), part > 1 ? `cutouts-${part}.zip` : "cutouts.zip");
    if (missing.length) toast(`${count(missing.length, "picture is", "pictures are")} not in the ZIP. ${missing[0]}`);
  }
}

/** Asks again where the service says when, as long as it is `wanted()`. */
async function patiently(act, wanted) {
  for (;;) {
    try {
      return await act();
    } catch (problem) {
      if (!problem.retryAfter) throw problem;
      await pause(problem.retryAfter);
      if (!wanted()) throw problem;
    }
  }
}

function hand(blob, name) {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  // The download has begun by then, and keeps what it needs.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

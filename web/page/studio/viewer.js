// The stage: one picture before and after, and what can be done with it.

import { button, find, icon, make } from "../dom.js";
import { Divider } from "./divider.js";
import { isOver } from "./pictures.js";
import { inputOf, previewOf } from "./thumbs.js";
import { factsOf, saidOf } from "./words.js";
import { Zoom } from "./zoom.js";

// Room around the picture, so that its edges are seen.
const MARGIN = 20;
// Small pictures are not blown up further to fill a large screen.
const LARGEST = 1.5;
// How much two sides may differ in shape and still be the same picture, uncropped.
const SAME_SHAPE = 0.02;

export class Viewer {
  #shown = null;
  #original = null;
  #stage = find("#stage");
  #before = find(".before img", this.#stage);
  #after = find(".after img", this.#stage);
  #divider = new Divider(find("#divider"), this.#stage);
  #zoom = new Zoom(this.#stage, find("#zoom"), (event) => { if (!this.#divider.handle.hidden) this.#divider.follow(event); });

  /** `acts`: onCancel, onAgain, onRemove (each with the picture), mayAgain(picture). */
  constructor(acts) {
    this.acts = acts;
    new ResizeObserver(() => this.#layout()).observe(this.#stage);
    for (const image of [this.#before, this.#after]) image.addEventListener("load", () => this.#layout());
    this.#before.addEventListener("error", () => this.#noOriginal());
  }

  show(picture) {
    if (this.#original) URL.revokeObjectURL(this.#original);
    this.#original = null;
    this.#shown = picture;
    for (const image of [this.#before, this.#after]) image.removeAttribute("src");
    this.#stage.dataset.sides = "";
    if (!picture) return;
    this.#zoom.reset();
    if (picture.file) {
      this.#original = URL.createObjectURL(picture.file);
      this.#before.src = this.#original;
    } else if (picture.jobId) this.#before.src = inputOf(picture.jobId);
    this.#before.alt = `${picture.name}, before`;
    this.#after.alt = `${picture.name}, without its background`;
    this.update(new Set([picture]), true);
  }

  /** `first`: it has just been chosen, so nothing is uncovered slowly. */
  update(changed, first = false) {
    const picture = this.#shown;
    if (!picture || !changed.has(picture)) return;
    find("#shown-name").textContent = picture.name;
    find("#shown-facts").textContent = factsOf(picture);
    this.#say(picture);
    if (!this.#before.getAttribute("src") && picture.state === "done") this.#before.src = inputOf(picture.jobId);
    if (picture.state === "done") this.#uncover(picture, first);
    else this.#sides();
  }

  async #uncover(picture, first) {
    if (this.#after.getAttribute("src") === picture.result.url) return;
    this.#after.src = picture.result.url;
    const seen = await this.#after.decode().then(() => true, () => false);
    if (this.#shown !== picture) return;
    if (seen) this.#sides(!first);
    else if (this.#after.getAttribute("src") === picture.result.url) this.#note("alert", "The cutout cannot be shown here. It can still be downloaded.");
  }

  #noOriginal() {
    const picture = this.#shown;
    // Browsers do not know every format, such as HEIC: the service has a small copy in one that they know.
    const kept = picture?.jobId && previewOf(picture.jobId, "input");
    if (picture?.state === "done" && this.#before.getAttribute("src") !== kept) this.#before.src = kept;
    else this.#before.removeAttribute("src");
    this.#sides();
  }

  #sides(slowly = false) {
    const before = this.#before.hasAttribute("src");
    const after = this.#shown?.state === "done" && this.#after.naturalWidth > 0;
    this.#stage.dataset.sides = `${before ? "before " : ""}${after ? "after" : ""}`;
    if (before && after) this.#divider.open(slowly);
    else this.#divider.close(after ? "after" : "before");
    this.#layout();
  }

  #layout() {
    const picture = this.#shown;
    const width = this.#stage.clientWidth - 2 * MARGIN;
    const height = this.#stage.clientHeight - 2 * MARGIN;
    if (!picture || width <= 0) return;
    const result = picture.state === "done" ? picture.result : null;
    const before = [this.#before.naturalWidth, this.#before.naturalHeight];
    const after = result ? [result.width, result.height] : before;
    const alike = before[0] > 0 && Math.abs((before[0] / before[1]) / (after[0] / after[1]) - 1) < SAME_SHAPE;
    const fitOf = ([w, h], largest) => Math.min(width / w, height / h, largest);
    const main = after[0] ? fitOf(after, LARGEST) : 1;
    this.#place(this.#after.parentElement, after, main);
    // A small copy of the original stands where the original would.
    this.#place(this.#before.parentElement, alike ? after : before, alike ? main : fitOf(before, Infinity));
    this.#zoom.resize(after[0] * main, after[1] * main, main);
  }

  #place(frame, [width, height], scale) {
    frame.style.width = `${width * scale}px`;
    frame.style.height = `${height * scale}px`;
  }

  #say(picture) {
    this.#offer(picture);
    if (picture.state === "done") this.#note(null, "");
    else if (picture.state === "failed" || picture.state === "refused") this.#note("alert", saidOf(picture));
    else this.#note(picture.state === "cancelled" ? "close" : "wait", saidOf(picture), picture.state === "uploading" ? picture.part : null);
  }

  #offer(picture) {
    const { acts } = this;
    const act = (name, label, run) =>
      Object.assign(button("compact", () => run(picture), icon(name), make("span", {}, label)), { ariaLabel: label, title: label });
    const offered = [
      !isOver(picture) && act("close", "Cancel", acts.onCancel),
      acts.mayAgain(picture) && act("retry", "Try again", acts.onAgain),
      isOver(picture) && act("bin", "Remove", acts.onRemove),
    ].filter(Boolean);
    const place = find("#shown-acts");
    // Buttons that are there stay: somebody's focus may be on one.
    const names = picture.key + offered.map((each) => each.textContent).join();
    if (place.dataset.names === names) return;
    place.dataset.names = names;
    place.replaceChildren(...offered);
  }

  /** One line over the picture; `part` of a way, when there is one. */
  #note(name, text, part = null) {
    const place = find("#state");
    place.hidden = !text;
    place.dataset.kind = name ?? "";
    place.replaceChildren(
      name === "wait" ? make("span", { className: "spinner", "aria-hidden": "true" }) : name ? icon(name) : "", make("span", {}, text));
    if (part === null) return;
    const bar = make("span", { className: "meter" }, make("i"));
    bar.firstChild.style.setProperty("--part", part);
    place.append(bar);
  }

  /** `backdrop`: {colour} or {picture: address} or neither. */
  dress({ colour, picture }) {
    const frame = this.#after.parentElement;
    frame.classList.toggle("checkered", !colour && !picture);
    frame.style.background = picture ? `url("${picture}") center / cover` : colour ?? "";
  }
}

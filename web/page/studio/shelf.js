// The shelf: a small picture for each, and what became of them together.

import { button, count, duration, find, icon, make } from "../dom.js";
import { isOver } from "./pictures.js";
import { saidOf } from "./words.js";

const ICONS = { failed: "alert", refused: "alert", cancelled: "close" };

export class Shelf {
  #tiles = new Map();
  #list = find("#tiles");
  #shown = null;

  /** `acts`: onShow(picture), onRemove(picture). */
  constructor(pictures, acts) {
    Object.assign(this, { pictures, acts });
    this.#list.addEventListener("click", (event) => {
      const tile = event.target.closest("[role=option]");
      if (tile) acts.onShow(tile.picture);
    });
    this.#list.addEventListener("keydown", (event) => this.#key(event));
  }

  get shown() { return this.#shown; }

  show(picture) {
    if (this.#shown === picture) return;
    this.#mark(false);
    this.#shown = picture;
    this.#mark(true);
  }

  #mark(on) {
    const tile = this.#tiles.get(this.#shown);
    if (!tile) return;
    tile.setAttribute("aria-selected", String(on));
    tile.tabIndex = on ? 0 : -1;
    if (on) tile.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #key(event) {
    const all = this.pictures.all;
    const here = all.indexOf(this.#shown);
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
    if (event.key === "Delete" || event.key === "Backspace") this.acts.onRemove(this.#shown);
    else if (steps[event.key]) this.acts.onShow(all[Math.max(0, Math.min(all.length - 1, here + steps[event.key]))]);
    else return;
    event.preventDefault();
    this.#tiles.get(this.#shown)?.focus();
  }

  /** Called once a frame at most, with those that changed. */
  update(changed) {
    const before = new Set(this.#tiles.keys());
    for (const picture of changed) {
      if (this.pictures.has(picture)) this.#paint(picture);
      else {
        this.#tiles.get(picture)?.remove();
        this.#tiles.delete(picture);
      }
    }
    if (this.#tiles.size === before.size && this.pictures.all.every((picture) => before.has(picture))) return;
    this.#order();
    if (!before.has(this.#shown)) this.#mark(true);
  }

  #order() {
    let place = this.#list.firstElementChild;
    for (const picture of this.pictures.all) {
      const tile = this.#tiles.get(picture);
      if (tile === place) place = place.nextElementSibling;
      else this.#list.insertBefore(tile, place);
    }
  }

  #paint(picture) {
    const tile = this.#tiles.get(picture) ?? this.#make(picture);
    const { image, mark, bar } = tile.parts;
    const address = (picture.state === "done" && picture.cutout) || picture.thumb;
    if (address && image.getAttribute("src") !== address) image.src = address;
    image.hidden = !address;
    tile.dataset.state = picture.state;
    tile.classList.toggle("over", picture.state in ICONS);
    tile.setAttribute("aria-label", `${picture.name}: ${saidOf(picture)}`);
    tile.title = `${picture.name}\n${saidOf(picture)}`;
    bar.hidden = picture.state !== "uploading";
    bar.firstChild.style.setProperty("--part", picture.part);
    const wanted = ICONS[picture.state] ?? (address ? "" : "picture");
    if (mark.dataset.icon !== wanted) {
      mark.dataset.icon = wanted;
      mark.replaceChildren(...(wanted ? [icon(wanted)] : []));
    }
  }

  #make(picture) {
    const image = make("img", { alt: "", decoding: "async", loading: "lazy", hidden: true });
    // The service may have no preview, as of results from before it made any.
    image.addEventListener("error", () => { image.hidden = true; });
    const mark = make("span", { className: "tile-mark" });
    const bar = make("span", { className: "meter", hidden: true }, make("i"));
    const tile = make("li", { className: "tile checkered", role: "option", tabIndex: -1, "aria-selected": "false" }, image, mark, bar);
    Object.assign(tile, { picture, parts: { image, mark, bar } });
    this.#tiles.set(picture, tile);
    return tile;
  }

  focus() {
    this.#tiles.get(this.#shown)?.focus();
  }
}

/** How far all of them are: {total, ended, done, failed, text}. */
export function tally(pictures) {
  const total = pictures.length;
  let ended = 0, done = 0, failed = 0, last = null;
  for (const picture of pictures) {
    if (isOver(picture)) ended += 1;
    if (picture.state === "done") done += 1;
    if (picture.state === "failed" || picture.state === "refused") failed += 1;
    if (picture.state === "waiting" && picture.wait) last = Math.max(last ?? 0, picture.wait);
  }
  const text = ended === total
    ? [done && count(done, "picture done", "pictures done"), failed && `${failed} failed`].filter(Boolean).join(", ")
    : [`${done} of ${total} done`, failed && `${failed} failed`, last && `about ${duration(last)} left`].filter(Boolean).join(", ");
  return { total, ended, done, failed, text };
}

/** The list of what did not work, with the reason beside each name. */
export function showTroubles(pictures, { onShow, onAgain, onRemove, mayAgain }) {
  const place = find("#troubles");
  const failed = pictures.filter(({ state }) => state === "failed" || state === "refused");
  place.hidden = failed.length === 0;
  const key = failed.map((each) => each.key + each.error?.message).join();
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  find("summary", place).textContent = failed.length === 1 ? "1 picture did not work" : `${failed.length} pictures did not work`;
  find("ul", place).replaceChildren(...failed.slice(0, 100).map((each) => make("li", {},
    button("quiet compact name", () => onShow(each), each.name),
    make("span", { className: "small" }, saidOf(each)),
    make("span", { className: "trouble-acts" },
      mayAgain(each) && Object.assign(button("compact", () => onAgain(each), "Try again"), { ariaLabel: `Try ${each.name} again` }),
      Object.assign(button("quiet icon compact", () => onRemove(each), icon("close")), { ariaLabel: `Remove ${each.name}` })))));
}

// Zoom and pan of the stage: wheel, fingers, keys and buttons.

import { find } from "../dom.js";

const STEP = 1.4;
const PAN = 60;
// Of real pixels: closer there is nothing more to see.
const CLOSEST = 8;

export class Zoom {
  zoom = 1; x = 0; y = 0;
  fit = 1; width = 0; height = 0;
  #fingers = new Map();

  /** `onDrag(event)` is told of a drag while there is nothing to move because all is seen. */
  constructor(stage, controls, onDrag) {
    Object.assign(this, { stage, onDrag, output: find("output", controls) });
    controls.addEventListener("click", (event) => this.#act(event.target.closest("[data-zoom]")?.dataset.zoom));
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.by(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), ...this.#point(event));
    }, { passive: false });
    stage.addEventListener("keydown", (event) => this.#key(event));
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) stage.addEventListener(kind, (event) => this.#pointer(event));
  }

  /** At zoom 1 the picture takes so many pixels of the screen, `fit` for each of its own. */
  resize(width, height, fit) {
    Object.assign(this, { width, height, fit });
    this.#apply();
  }

  reset() {
    Object.assign(this, { zoom: 1, x: 0, y: 0 });
    this.#apply();
  }

  /** Around a point, given from the middle of the stage. */
  by(factor, x = 0, y = 0) {
    const next = Math.max(1, Math.min(CLOSEST / this.fit, this.zoom * factor));
    const by = next / this.zoom;
    this.x = x - (x - this.x) * by;
    this.y = y - (y - this.y) * by;
    this.zoom = next;
    this.#apply();
  }

  move(x, y) {
    this.x += x;
    this.y += y;
    this.#apply();
  }

  #apply() {
    const { clientWidth, clientHeight } = this.stage;
    const within = (place, size, seen) => {
      const room = Math.max(0, (size * this.zoom - seen) / 2);
      return Math.max(-room, Math.min(room, place));
    };
    this.x = within(this.x, this.width, clientWidth);
    this.y = within(this.y, this.height, clientHeight);
    this.stage.style.setProperty("--place", `translate(${this.x}px, ${this.y}px) scale(${this.zoom})`);
    this.stage.classList.toggle("zoomed", this.zoom > 1.01);
    this.output.textContent = `${Math.round(this.zoom * this.fit * 100)} %`;
  }

  #act(what) {
    if (what === "in") this.by(STEP);
    if (what === "out") this.by(1 / STEP);
    if (what === "fit") this.reset();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] };
    // Arrow keys on the divider move the divider.
    const arrow = event.target === this.stage && arrows[event.key];
    if (arrow) this.move(...arrow);
    else if (event.key === "+" || event.key === "=") this.by(STEP);
    else if (event.key === "-") this.by(1 / STEP);
    else if (event.key === "0") this.reset();
    else return;
    event.preventDefault();
  }

  #point({ clientX, clientY }) {
    const box = this.stage.getBoundingClientRect();
    return [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
  }

  #pointer(event) {
    if (event.target.closest("button, [role=slider]")) return;
    const before = [...this.#fingers.values()];
    if (event.type === "pointerdown") {
      this.#fingers.set(event.pointerId, event);
      this.stage.setPointerCapture(event.pointerId);
    } else if (event.type !== "pointermove") {
      this.#fingers.delete(event.pointerId);
    } else if (this.#fingers.has(event.pointerId)) {
      const last = this.#fingers.get(event.pointerId);
      this.#fingers.set(event.pointerId, event);
      if (before.length === 2) this.#pinch(before, [...this.#fingers.values()]);
      else if (this.zoom > 1.01) this.move(event.clientX - last.clientX, event.clientY - last.clientY);
      else this.onDrag(event);
    }
  }

  #pinch([a, b], [c, d]) {
    const distance = (one, two) => Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY) || 1;
    const middle = (one, two) => ({ clientX: (one.clientX + two.clientX) / 2, clientY: (one.clientY + two.clientY) / 2 });
    const from = middle(a, b), to = middle(c, d);
    this.move(to.clientX - from.clientX, to.clientY - from.clientY);
    this.by(distance(c, d) / distance(a, b), ...this.#point(to));
  }
}

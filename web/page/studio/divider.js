// The line between before and after: a slider for hands and for keys.

const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -20, PageUp: 20, Home: -100, End: 100 };

export class Divider {
  /** Where people left it, in per cent of the stage from the left; before is on the left. */
  chosen = 50;

  constructor(handle, stage) {
    Object.assign(this, { handle, stage });
    handle.addEventListener("keydown", (event) => {
      if (!(event.key in STEPS) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.set(this.chosen + STEPS[event.key]);
    });
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", (event) => { if (handle.hasPointerCapture(event.pointerId)) this.follow(event); });
  }

  follow({ clientX }) {
    const box = this.stage.getBoundingClientRect();
    this.set(((clientX - box.left) / box.width) * 100);
  }

  set(part) {
    this.chosen = Math.max(0, Math.min(100, part));
    this.stage.classList.remove("revealing");
    this.#show(this.chosen);
  }

  /** Both sides are there. `slowly`: the cutout has just come, and the line uncovers it. */
  open(slowly) {
    this.handle.hidden = false;
    if (slowly) {
      this.#show(100);
      this.stage.offsetWidth; // The browser has to have seen the start of the way.
      this.stage.classList.add("revealing");
    }
    this.#show(this.chosen);
  }

  /** Only one side is there. */
  close(side) {
    this.handle.hidden = true;
    this.stage.classList.remove("revealing");
    this.#show(side === "before" ? 100 : 0);
  }

  #show(part) {
    this.stage.style.setProperty("--split", `${part}%`);
    this.handle.setAttribute("aria-valuenow", String(Math.round(part)));
    this.handle.setAttribute("aria-valuetext", `${Math.round(part)} % before, ${Math.round(100 - part)} % after`);
  }
}

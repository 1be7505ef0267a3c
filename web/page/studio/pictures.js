// The pictures on the shelf, and who is told when one of them changes.

/**
 * States: "sending" (not uploaded yet), "uploading", "waiting", "working", then "done", "failed" (has a job),
 * "refused" (the service took it not), "cancelled".
 */
const OVER = new Set(["done", "failed", "refused", "cancelled"]);

export const isOver = ({ state }) => OVER.has(state);

let made = 0;

/**
 * `source` is one of {file}, {address} or {job: "<id>/<index>"}; `options` the parameters of its cutout; `file` the
 * picture itself while this tab has it.
 */
export function picture(name, source, options, file = source.file ?? null) {
  return {
    key: `p${++made}`, name, source, options, file, state: "sending", part: 0, thumb: null, cutout: null,
    jobId: null, position: null, wait: null, detail: null, result: null, error: null,
  };
}

export class Pictures {
  #list = [];
  #byJob = new Map();
  #listeners = [];
  #changed = new Set();
  #frame = 0;

  constructor() {
    // A tab in the background draws no frames; what it has done is told all the same.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && this.#changed.size) this.#flush();
    });
  }

  get all() { return this.#list; }
  get unfinished() { return this.#list.filter((each) => each.jobId && !isOver(each)); }
  ofJob(id) { return this.#byJob.get(id); }
  has(picture) { return this.#list.includes(picture); }

  /** `listener(changed)` is called once a frame at most, however much has happened. */
  onChange(listener) { this.#listeners.push(listener); }

  add(pictures, at = this.#list.length) {
    this.#list.splice(at, 0, ...pictures);
    for (const each of pictures) {
      if (each.jobId) this.#byJob.set(each.jobId, each);
      this.#tell(each);
    }
  }

  change(picture, facts) {
    if (facts.jobId) this.#byJob.delete(picture.jobId);
    Object.assign(picture, facts);
    if (facts.jobId) this.#byJob.set(facts.jobId, picture);
    this.#tell(picture);
  }

  remove(pictures) {
    const gone = new Set(pictures);
    this.#list = this.#list.filter((each) => !gone.has(each));
    for (const each of pictures) {
      this.#byJob.delete(each.jobId);
      this.#tell(each);
    }
  }

  #tell(picture) {
    this.#changed.add(picture);
    this.#frame ||= document.hidden ? setTimeout(() => this.#flush(), 250) : requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    if (!this.#changed.size) return;
    const changed = this.#changed;
    this.#changed = new Set();
    this.#frame = 0;
    for (const listener of this.#listeners) listener(changed);
  }
}

// What becomes of the pictures that the service has: by events, and by asking where events do not tell.

import { call, getJson, Problem } from "../api.js";
import { isOver } from "./pictures.js";
import { lanes } from "./lanes.js";

// Events of jobs whose submit has not been answered yet.
const EARLY = 500;
const ASKED_AT_ONCE = 12;
const asking = lanes(4);

const STATES = { pending: "waiting", processing: "working", completed: "done", failed: "failed", cancelled: "cancelled" };

export class Jobs {
  #early = new Map();
  #unanswered = new Set();

  /** `onGone(picture)` is called when the service no longer has the job. */
  constructor(pictures, onGone) {
    this.pictures = pictures;
    this.onGone = onGone;
  }

  /** An event. Its view has neither results nor a place in the queue. */
  seen(view) {
    const picture = this.pictures.ofJob(view.id);
    if (picture) {
      this.#apply(picture, view);
      return;
    }
    this.#early.set(view.id, view);
    if (this.#early.size > EARLY) this.#early.delete(this.#early.keys().next().value);
  }

  /** The service has taken a picture. */
  taken(picture, submitted) {
    this.pictures.change(picture, {
      jobId: submitted.job_id, state: "waiting", position: submitted.position, wait: submitted.estimated_wait_seconds, part: 0,
    });
    const view = this.#early.get(submitted.job_id);
    if (!view) return;
    this.#early.delete(submitted.job_id);
    this.#apply(picture, view);
  }

  #apply(picture, view) {
    const state = STATES[view.status];
    if (state === "done" || state === "failed") {
      if (view.results) this.#end(picture, state, view);
      else this.ask(picture);
      return;
    }
    const facts = { state, detail: view.phase_detail };
    if (view.position !== null || state !== "waiting") Object.assign(facts, { position: view.position, wait: view.estimated_wait_seconds });
    this.pictures.change(picture, facts);
  }

  #end(picture, state, view) {
    const [result] = view.results;
    const error = state === "failed" ? { message: result?.error ?? view.error, code: result?.error_code } : null;
    this.pictures.change(picture, { state, result: state === "done" ? result : null, error, detail: null, position: null, wait: null });
  }

  /** The whole truth of one picture. Does not throw: what cannot be asked now is asked again by `askAgain`. */
  async ask(picture) {
    try {
      const view = await asking(() => getJson(`/queue/job/${picture.jobId}`));
      // An answer may be older than an event that came meanwhile: it takes nothing back that had ended.
      const late = isOver(picture) && !view.completed_at;
      if (this.pictures.ofJob(view.id) === picture && !late) this.#apply(picture, view);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (problem.status === 404 || problem.status === 410) this.onGone(picture);
      else this.#unanswered.add(picture);
    }
  }

  askAgain() {
    const some = [...this.#unanswered].filter((each) => this.pictures.has(each)).slice(0, ASKED_AT_ONCE);
    for (const picture of some) this.#unanswered.delete(picture);
    some.forEach((picture) => this.ask(picture));
  }

  /** Those that are next, since they change first. */
  refresh(most = ASKED_AT_ONCE) {
    return Promise.all(this.pictures.unfinished.slice(0, most).map((picture) => this.ask(picture)));
  }

  /** Throws Problem. */
  async stop(id) {
    await call(`/queue/job/${id}/cancel?force=true`, { method: "POST" });
  }

  /** Throws Problem. */
  async cancel(picture) {
    await this.stop(picture.jobId);
    if (!isOver(picture)) this.pictures.change(picture, { state: "cancelled", detail: null });
  }

  /** Failed on the service, which still has the picture. Throws Problem. */
  async retry(picture) {
    await call(`/queue/job/${picture.jobId}/retry`, { method: "POST" });
    this.pictures.change(picture, { state: "waiting", error: null, position: null, wait: null });
    this.ask(picture);
  }
}

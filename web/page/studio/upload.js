// Pictures on their way to the service: three at once, and again by itself when it is full or away.

import { askForToken, OFFLINE } from "../api.js";
import { lanes, pause } from "./lanes.js";

const AT_ONCE = 3;
const OFFLINE_SECONDS = 3;
// Connections that break while the service is there: something on the way does not let this picture through.
const BROKEN_MOST = 3;

const CHANGED = { body: { detail: "The file was changed or removed after it was added. Add it again.", code: "file_changed" } };
const BROKEN = { body: { detail: "The connection broke each time this picture was sent, though the service can be reached. Try it again later." } };

export class Uploads {
  #inLine = lanes(AT_ONCE);
  #requests = new Map();
  #hold = null;

  /**
   * `onTaken(picture, answer)`; `onTooLate(jobId)` when one was stopped that the service had already; `onHold(reason |
   * null)` while nothing is sent because it would be in vain.
   */
  constructor(pictures, { onTaken, onTooLate, onHold }) {
    Object.assign(this, { pictures, onTaken, onTooLate, onHold });
    addEventListener("online", () => this.goOn());
  }

  get waiting() { return this.pictures.all.some(({ state }) => state === "sending" || state === "uploading"); }

  /** Does not throw: what comes of it shows in the picture's state. */
  send(picture) {
    // A picture that was given twice is one job: the answer to the first may have been lost on the way.
    picture.sendKey = randomKey();
    this.pictures.change(picture, { state: "sending", part: 0, error: null });
    return this.#inLine(() => this.#sendUntilAnswered(picture, picture.sendKey));
  }

  /** Stop an upload that has not ended. */
  stop(picture) {
    picture.sendKey = null;
    // Once all of it has been sent a job may come of it: only the answer tells which.
    if (picture.source.file && picture.part < 1) this.#requests.get(picture)?.abort();
    this.pictures.change(picture, { state: "cancelled" });
  }

  /** Do not wait any longer. */
  goOn() {
    this.#hold?.end();
  }

  async #sendUntilAnswered(picture, key) {
    let broken = 0;
    while (picture.sendKey === key) {
      if (this.#hold) {
        this.pictures.change(picture, { state: "sending", part: 0 });
        await this.#hold.over;
        continue;
      }
      this.pictures.change(picture, { state: "uploading", part: 0 });
      const answer = await this.#request(picture, key);
      const { status, body, retryAfter } = answer;
      if (picture.sendKey !== key) return status === 202 && this.onTooLate(body.job_id);
      if (status === 202) return this.onTaken(picture, body);
      if (status === 0 && !(await readable(picture.source.file))) return this.#refused(picture, CHANGED);
      if (status === 0 && (await fetch("/health").catch(() => null))) {
        if (++broken === BROKEN_MOST) return this.#refused(picture, BROKEN);
        await pause(OFFLINE_SECONDS);
      } else if (status === 0) this.#holdFor(OFFLINE_SECONDS, OFFLINE);
      else if (status === 401) await askForToken();
      else if (retryAfter) this.#holdFor(retryAfter, body.detail);
      // The job it comes from may be gone with its picture; we may still have it.
      else if (picture.source.job && picture.file) picture.source = { file: picture.file };
      else return this.#refused(picture, answer);
    }
  }

  #refused(picture, { status, body }) {
    const [file] = body.rejected ?? [];
    const message = file?.reason ?? body.detail ?? `The service answered ${status}.`;
    this.pictures.change(picture, { state: "refused", error: { message, code: file?.code ?? body.code } });
  }

  /** {status, body, retryAfter}; status 0 when there was no answer. */
  #request(picture, key) {
    const { file, address, job } = picture.source;
    const query = new URLSearchParams(picture.options);
    if (address) query.set("image_url", address);
    if (job) query.set("image_job", job);
    const request = new XMLHttpRequest();
    this.#requests.set(picture, request);
    return new Promise((resolve) => {
      request.open("POST", `/queue/submit?${query}`);
      request.setRequestHeader("Idempotency-Key", key);
      request.responseType = "json";
      request.upload.onprogress = ({ loaded, total }) => this.pictures.change(picture, { part: loaded / total });
      request.onloadend = () => {
        this.#requests.delete(picture);
        resolve({
          status: request.status, body: request.response ?? {}, retryAfter: Number(request.getResponseHeader("Retry-After")),
        });
      };
      const form = new FormData();
      if (file) form.append("images", file, picture.name);
      request.send(file ? form : null);
    });
  }

  #holdFor(seconds, reason) {
    if (this.#hold) return;
    const hold = {};
    hold.over = new Promise((resolve) => {
      hold.end = () => {
        clearTimeout(timer);
        this.#hold = null;
        this.onHold(null);
        resolve();
      };
      const timer = setTimeout(hold.end, seconds * 1000);
    });
    this.#hold = hold;
    this.onHold(reason);
  }
}

/** Browsers do not read a file that is no longer the one that was chosen. */
const readable = (file) => !file || file.slice(0, 1).arrayBuffer().then(() => true, () => false);

/** Not crypto.randomUUID: that is only there over https and on localhost. */
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

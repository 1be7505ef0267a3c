// Calls to the service. A problem becomes an Error whose message a person understands.

import { find, make, toast } from "./dom.js";

export class Problem extends Error {
  /** `code` is the service's stable code; "offline" when it could not be reached. `retryAfter`: in so many seconds. */
  constructor(message, code, status, body, retryAfter = 0) {
    super(message);
    this.code = code;
    this.status = status;
    this.body = body ?? {};
    this.retryAfter = retryAfter;
  }
}

export const OFFLINE = "The service cannot be reached. It is tried again; nothing that was queued is lost.";

/** For what the page asks by itself. That the service is gone is told by the header already. */
export function complain(problem) {
  if (problem.code !== "offline") toast(problem.message);
}

export async function problemOf(answer) {
  const body = await answer.json().catch(() => ({}));
  const retryAfter = Number(answer.headers.get("Retry-After"));
  return new Problem(body.detail ?? `The service answered ${answer.status}.`, body.code, answer.status, body, retryAfter);
}

/** A lost connection, before the answer or in the middle of its body, is a TypeError in every browser. */
function unreachable(error) {
  throw error instanceof TypeError ? new Problem(OFFLINE, "offline", 0) : error;
}

/** Fetch, with the token asked for when the service wants one. Throws Problem. */
export async function call(path, options = {}) {
  for (;;) {
    const answer = await fetch(path, options).catch(unreachable);
    if (answer.status === 401) await askForToken();
    else if (answer.ok || answer.status === 304) return answer;
    else throw await problemOf(answer);
  }
}

/** The body of an answer; `kind`: "json" or "blob". Throws Problem. */
export const bodyOf = (answer, kind) => answer[kind]().catch(unreachable);

export const getJson = async (path, options) => bodyOf(await call(path, options), "json");

export const getBlob = async (path, options) => bodyOf(await call(path, options), "blob");

export const postJson = (path, body) =>
  getJson(path, {
    method: "POST",
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
  });

let asked = null;

/** One dialog, however many calls wait for it. The service keeps the session in a cookie that no script can read. */
export function askForToken() {
  asked ??= new Promise((resolve) => {
    const wrong = make("p", { className: "wrong", role: "alert" });
    const input = make("input", { className: "input", id: "token", type: "password", autocomplete: "current-password", required: true });
    const form = make("form", {},
      make("h2", { id: "token-title" }, "This service wants a token"),
      make("p", { className: "soft" }, "Whoever runs it has set one (QUEUE_API_TOKEN). It is kept for this browser until it is closed."),
      make("div", { className: "field" }, make("label", { htmlFor: "token" }, "Token"), input, wrong),
      make("div", { className: "buttons" }, make("button", { className: "button primary" }, "Open")));
    // A browser closes it at the second Escape, whatever the page says: nothing goes on without the token.
    const dialog = make("dialog", { "aria-labelledby": "token-title", onclose: () => dialog.isConnected && dialog.showModal() }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const answer = await fetch("/session", {
        method: "POST", body: JSON.stringify({ token: input.value }), headers: { "Content-Type": "application/json" },
      }).catch(() => null);
      if (answer?.ok) {
        dialog.remove();
        asked = null;
        resolve();
        return;
      }
      wrong.textContent = answer ? (await problemOf(answer)).message : OFFLINE;
      input.setAttribute("aria-invalid", "true");
      input.select();
    });
    find("body").append(dialog);
    dialog.showModal();
  });
  return asked;
}

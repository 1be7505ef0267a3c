// What happens on the queue, over one stream per tab; polled where streams do not get through.

import { getJson } from "./api.js";

const POLL_MS = 2000;
// A proxy that holds the stream back shows in that nothing comes, not even the first counts.
const SILENT_MS = 8000;

/**
 * Follow the queue while the tab is seen. `on` has job(view), stats(body), reset() (load your lists again) and
 * state("live" | "polling" | "lost"). While there is no stream, `poll` is called instead, two seconds after it ended.
 */
export function follow(on, poll) {
  let source = null, silence = 0, last = "", wanted = false, polling = false;

  const parse = (handler) => (event) => {
    if (event.lastEventId) last = event.lastEventId;
    clearTimeout(silence);
    wanted = false;
    on.state("live");
    handler(JSON.parse(event.data));
  };

  function open() {
    close();
    source = new EventSource(last ? `/queue/events?last_event_id=${encodeURIComponent(last)}` : "/queue/events");
    silence = setTimeout(startPolling, SILENT_MS);
    source.addEventListener("stats", parse(on.stats));
    source.addEventListener("job", parse(on.job));
    source.addEventListener("reset", parse(on.reset));
    source.onerror = () => {
      // The browser tries again by itself, unless the answer was no stream at all.
      if (source.readyState === EventSource.CLOSED) startPolling();
      else on.state("lost");
    };
  }

  async function pollOnce() {
    try {
      const stats = await getJson("/queue/stats");
      // The stream may have come meanwhile, and told something newer.
      if (!wanted) return;
      on.stats(stats);
      await poll();
      if (!wanted) return;
      on.state("polling");
      if (source.readyState === EventSource.CLOSED) open();
    } catch {
      if (wanted) on.state("lost");
    }
  }

  /** One at a time: behind a slow service, or the question for the token, others would only pile up. */
  async function startPolling() {
    wanted = true;
    if (polling) return;
    polling = true;
    while (wanted) {
      await pollOnce();
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    polling = false;
  }

  function close() {
    source?.close();
    clearTimeout(silence);
  }

  // Also a tab that was opened behind another one waits until it is seen.
  function look() {
    if (!document.hidden) return open();
    wanted = false;
    close();
  }

  document.addEventListener("visibilitychange", look);
  look();
}

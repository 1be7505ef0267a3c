// What happens on the queue, over one stream per tab; polled where streams do not get through.

import { getJson } from "./api.js";

const POLL_MS = 2000;
// A proxy that holds the stream back shows in that nothing comes, not even the first counts.
const SILENT_MS = 8000;

/**
 * Follow the queue while the tab is seen. `on` has job(view), stats(body), reset() (load your lists again) and
 * state("live" | "polling" | "lost"). `poll` is called every two seconds instead while there is no stream.
 */
export function follow(on, poll) {
  let source = null, pollTimer = 0, silence = 0, last = "", hiddenSince = false;

  const parse = (handler) => (event) => {
    if (event.lastEventId) last = event.lastEventId;
    handler(JSON.parse(event.data));
  };

  function open() {
    close();
    source = new EventSource(last ? `/queue/events?last_event_id=${encodeURIComponent(last)}` : "/queue/events");
    silence = setTimeout(startPolling, SILENT_MS);
    source.addEventListener("stats", parse((stats) => { alive(); on.stats(stats); }));
    source.addEventListener("job", parse((job) => { alive(); on.job(job); }));
    source.addEventListener("reset", parse(() => { alive(); on.reset(); }));
    source.onerror = () => {
      // The browser tries again by itself, unless the answer was no stream at all.
      if (source.readyState === EventSource.CLOSED) startPolling();
      else on.state("lost");
    };
  }

  function alive() {
    clearTimeout(silence);
    clearInterval(pollTimer);
    pollTimer = 0;
    on.state("live");
  }

  async function pollOnce() {
    try {
      on.stats(await getJson("/queue/stats"));
      await poll();
      on.state("polling");
      if (!source || source.readyState === EventSource.CLOSED) open();
    } catch {
      on.state("lost");
    }
  }

  function startPolling() {
    if (pollTimer) return;
    pollOnce();
    pollTimer = setInterval(pollOnce, POLL_MS);
  }

  function close() {
    source?.close();
    source = null;
    clearTimeout(silence);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      hiddenSince = true;
      close();
      clearInterval(pollTimer);
      pollTimer = 0;
    } else if (hiddenSince) {
      hiddenSince = false;
      open();
    }
  });
  open();
}

// Asking again when something moved, but not each time that something moves.

import { complain } from "../api.js";

/** `run` at once, and then not before so many milliseconds have gone. The last wish is never lost; a hidden tab has none. */
export function seldom(run, pauseMs) {
  let last = -Infinity, timer = 0;
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      last = performance.now();
      if (!document.hidden) run().catch(complain);
    }, Math.max(0, last + pauseMs - performance.now()));
  };
}

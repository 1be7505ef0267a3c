// Moments and spans, as people say them.

import { duration, make } from "../dom.js";

export const secondsSince = (time, until = Date.now()) => Math.max(0, (until - Date.parse(time)) / 1000);

export function ago(time) {
  const seconds = secondsSince(time);
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

// Made once: to make one takes longer than to format with it.
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const TODAY = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const EARLIER = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });

/** The exact moment, in the reader's zone. */
export const exact = (time) => EXACT.format(new Date(time));

export function clock(time) {
  const date = new Date(time);
  return (date.toDateString() === new Date().toDateString() ? TODAY : EARLIER).format(date);
}

/** A span with tenths while they tell something: 0.4 s, 12 s, 3 min. */
export const span = (seconds) => (seconds < 0.1 ? "under 0.1 s" : seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds));

/** How long something goes on already, told anew each second: whole seconds, then minutes. */
export function going(since) {
  if (!since) return "";
  const seconds = Math.floor(secondsSince(since));
  return seconds < 90 ? `${seconds} s` : duration(seconds);
}

/** <time> that says how long ago; `refresh` says it anew. */
export const agoTime = (time) => make("time", { dateTime: time, title: exact(time), className: "ago" }, ago(time));

export function refreshTimes(root = document) {
  for (const shown of root.querySelectorAll("time.ago")) {
    const text = ago(shown.dateTime);
    if (shown.textContent !== text) shown.textContent = text;
  }
}

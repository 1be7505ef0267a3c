// What is said of a picture: one place for all that show it.

import { bytes, duration } from "../dom.js";

export function saidOf(picture) {
  switch (picture.state) {
    case "sending": return "Waiting to be sent";
    case "uploading": return picture.source.file ? `Sending, ${Math.round(picture.part * 100)} %` : "Being fetched";
    case "waiting": return picture.detail ?? place(picture);
    case "working": return picture.detail ?? "Removing the background";
    case "done": return "Done";
    case "cancelled": return "Cancelled";
    default: return picture.error?.message ?? "It did not work";
  }
}

function place({ position, wait }) {
  if (!position) return "Next in the queue";
  const about = wait ? `, ${wait < 1 ? "" : "about "}${duration(wait)}` : "";
  return position === 1 ? `Next in the queue${about}` : `Number ${position.toLocaleString("en")} in the queue${about}`;
}

/** "451 × 300 · PNG · 265 kB · 0.2 s" */
export function factsOf({ result }) {
  if (!result) return "";
  const time = result.cached ? "kept from before" : result.seconds ? `${result.seconds.toFixed(1)} s` : null;
  const kind = result.content_type.split("/")[1].toUpperCase();
  return [`${result.width} × ${result.height}`, kind, bytes(result.bytes), time].filter(Boolean).join(" · ");
}

/** The picture's name with the ending of what it has become. */
export const nameAs = (name, type) => `${name.replace(/\.[^.]{1,5}$/, "")}.${type.split("/")[1].replace("jpeg", "jpg")}`;

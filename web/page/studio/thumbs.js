// Small pictures for the shelf: a hundred photos of a camera would not fit into memory as they are.

import { lanes } from "./lanes.js";

const HEIGHT = 176;
// Each holds one picture at its full size.
const inLine = lanes(2);
const waiting = new Map();
let worker = null, sent = 0;

/** Address of a small copy, or null when this browser cannot read the picture. To be given to `forget` later. */
export function shrunk(blob) {
  return inLine(async () => {
    worker ??= start();
    const number = ++sent;
    const small = await new Promise((resolve) => {
      waiting.set(number, resolve);
      worker.postMessage({ number, blob, height: HEIGHT });
    });
    return small && URL.createObjectURL(small);
  });
}

function start() {
  const started = new Worker("/page/studio/shrinker.js");
  started.onmessage = ({ data: { number, small } }) => {
    waiting.get(number)(small);
    waiting.delete(number);
  };
  return started;
}

export function forget(address) {
  if (address?.startsWith("blob:")) URL.revokeObjectURL(address);
}

/** The picture itself, as the service was given it. */
export const inputOf = (jobId) => `/queue/job/${jobId}/input/0`;

/** What the service keeps of a job's only picture: "input" as it came, "result" as it was cut out. */
export const previewOf = (jobId, which) => `/queue/job/${jobId}/preview/0/${which}`;

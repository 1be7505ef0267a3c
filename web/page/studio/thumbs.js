// Small pictures for the shelf: a hundred photos of a camera would not fit into memory as they are.

import { lanes } from "./lanes.js";

const HEIGHT = 176;
const inLine = lanes(2);

/** Address of a small copy, or null when this browser cannot read the picture. To be given to `forget` later. */
export function shrunk(blob) {
  return inLine(async () => {
    const bitmap = await createImageBitmap(blob, { resizeHeight: HEIGHT, resizeQuality: "medium" }).catch(() => null);
    if (!bitmap) return null;
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    return URL.createObjectURL(await canvas.convertToBlob({ type: "image/webp", quality: 0.8 }));
  });
}

export function forget(address) {
  if (address?.startsWith("blob:")) URL.revokeObjectURL(address);
}

/** What the service keeps of a job's only picture: "input" as it came, "result" as it was cut out. */
export const previewOf = (jobId, which) => `/queue/job/${jobId}/preview/0/${which}`;

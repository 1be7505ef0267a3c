// The finished picture: as it lies on the service, or put together there once more with a background or in another format.

import { bodyOf, call, getBlob, getJson, Problem } from "../api.js";
import { pause } from "./lanes.js";

const ASK_SECONDS = 1;

/** A Blob of the full size. `background` as Background.asked() says, `format` "" for what comes. Throws Problem. */
export async function finished(picture, background, format) {
  const { parameters, file } = background;
  const type = picture.result.content_type;
  const asItIs = !file && !parameters.background_color && (!format || type === `image/${format === "jpg" ? "jpeg" : format}`);
  if (asItIs) return getBlob(picture.result.url);
  const query = new URLSearchParams({ ...picture.options, ...parameters, image_job: `${picture.jobId}/0`, ...(format && { format }) });
  const body = file ? new FormData() : undefined;
  body?.append("background_image", file, file.name);
  const answer = await call(`/remove?${query}`, { method: "POST", body });
  if (answer.status !== 202) return bodyOf(answer, "blob");
  return later((await bodyOf(answer, "json")).job_id);
}

/** The service is busy for longer than a request may wait. */
async function later(jobId) {
  for (;;) {
    const job = await getJson(`/queue/job/${jobId}`);
    if (job.completed_at) {
      if (job.status !== "completed") throw new Problem(job.results?.[0]?.error ?? job.error ?? "The job was cancelled.", "failed", 0);
      return getBlob(`/queue/job/${jobId}/result/0`);
    }
    await pause(ASK_SECONDS);
  }
}

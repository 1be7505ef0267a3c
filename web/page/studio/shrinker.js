// A worker that makes small copies: shrinking a photo of a camera takes a tenth of a second, in which no page should stand.

onmessage = async ({ data: { number, blob, height } }) => {
  postMessage({ number, small: await shrink(blob, height).catch(() => null) });
};

async function shrink(blob, height) {
  const bitmap = await createImageBitmap(blob, { resizeHeight: height, resizeQuality: "medium" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/webp", quality: 0.8 });
}

/**
 * From what the browser can show to pixels: the stored values, upright, transparency over white.
 *
 * The same as `images/picture.py`, with the browser's decoders: no colour management, the EXIF
 * orientation, the first frame. Pixels that are partly transparent may differ by one or two of 255,
 * for a canvas keeps colours multiplied by their alpha.
 */

const AS_STORED = {
  colorSpaceConversion: "none",
  premultiplyAlpha: "none",
  imageOrientation: "from-image",
};
const STRIP = 4_000_000; // pixels of a canvas: some browsers have none for a whole photograph

/** The bitmap of a file or a pasted picture; close it. Throws an Error in words for people. */
export async function openPicture(blob) {
  try {
    return await createImageBitmap(blob, AS_STORED);
  } catch {
    const name = blob.name ? `“${blob.name}”` : "That";
    throw new Error(`${name} is not a picture that this browser can read, or a damaged one.`);
  }
}

/** {data, width, height} of a bitmap, a canvas or a video: RGBA, all of it opaque. */
export function readPixels(source, width = source.width, height = source.height) {
  const data = new Uint8ClampedArray(4 * width * height);
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP / width)));
  const canvas = new OffscreenCanvas(width, rows);
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  for (let top = 0; top < height; top += rows) {
    const part = Math.min(rows, height - top);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, part);
    context.drawImage(source, 0, top, width, part, 0, 0, width, part);
    data.set(context.getImageData(0, 0, width, part).data, 4 * top * width);
  }
  return { data, width, height };
}

/** The part of a picture that the preprocessing keeps: left, top, width, height, as shares of it. */
export function partSeen({ resize, crop }, width, height) {
  const short = Math.min(width, height);
  const [h, w] = Array.isArray(resize)
    ? resize
    : [Math.trunc((resize * height) / short), Math.trunc((resize * width) / short)];
  const share = (whole, kept) => [(whole - kept) / 2 / whole, kept / whole];
  const [[left, across], [top, down]] = [share(w, crop[1]), share(h, crop[0])];
  return { left, top, width: across, height: down };
}

/** The same picture with a shorter side of at most `short` pixels, scaled by the browser. */
export function shrink(image, short) {
  const scale = short / Math.min(image.width, image.height);
  if (scale >= 1) {
    return image;
  }
  const full = new OffscreenCanvas(image.width, image.height);
  full.getContext("2d").putImageData(new ImageData(image.data, image.width), 0, 0);
  const [width, height] = [image.width, image.height].map((side) => Math.round(side * scale));
  const small = new OffscreenCanvas(width, height);
  const context = small.getContext("2d", { alpha: false, willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(full, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/** Maps as pictures: 0 is black, what is above it is light, what is below it is blue. */

const GROUND = [12, 14, 20];
const ABOVE = [255, 240, 205];
const BELOW = [90, 160, 255];
const GAMMA = 0.7; // small numbers are to be seen beside large ones

/** The largest and the smallest of some numbers; 0 is always between them. */
export function range(data) {
  let [low, high] = [0, 0];
  for (const value of data) {
    if (value > high) high = value;
    else if (value < low) low = value;
  }
  return { low, high };
}

/** Draws one map, `data` from `from` on, a pixel for a number. */
export function drawMap(canvas, data, from, { width, height, low, high }) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const most = Math.max(high, -low) || 1;
  for (let place = 0; place < width * height; place++) {
    const value = from + place < data.length ? data[from + place] : 0;
    const end = value < 0 ? BELOW : ABOVE;
    const share = Number.isFinite(value) ? (Math.abs(value) / most) ** GAMMA : 1;
    for (let part = 0; part < 3; part++) {
      image.data[4 * place + part] = GROUND[part] + share * (end[part] - GROUND[part]);
    }
    image.data[4 * place + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** What the colours mean, in words. */
export function legend({ low, high }) {
  const below = low < 0 ? `; blue is below 0, down to ${figure(low)}` : "";
  return `Black is 0, the lightest ${figure(high)}${below}.`;
}

/** A number with as many digits as tell it. */
export function figure(value) {
  if (!Number.isFinite(value)) {
    return "no number";
  }
  if (value === 0) {
    return "0";
  }
  const size = Math.abs(value);
  const text = size >= 1000 || (size < 0.001 && size > 0) ? value.toExponential(1) : value.toFixed(size < 0.1 ? 3 : 2);
  return text.replace("-", "−");
}

/**
 * Where the evidence lies, in two ways, drawn over the picture: Grad-CAM (Selvaraju et al., 2017),
 * what the places of the last maps give to a class's logit; and the picture covered patch by patch,
 * and what that costs the class's probability (occlusion: Zeiler and Fergus, 2014, section 4.2).
 *
 * The same as `Runtime.grad_cam` and `analysis/occlusion.py`, number for number.
 */

import { breathe } from "./dom.js";

const PATCHES = 9; // along the shorter side of what the network sees
const COLOUR = [236, 0, 140]; // seldom in photographs
const OVERLAP = 2; // patches that cover a place, in each direction

/** Whether there is more than one place to tell apart by Grad-CAM. */
export function hasHeat({ gradCamShape }) {
  return gradCamShape.reduce((product, length) => product * length, 1) > 1;
}

/** What speaks for a class by Grad-CAM, from 0 up, as rows of a grid over the part that is seen. */
export async function findHeat(classifier, image, index) {
  const heat = classifier.heat
    ? await classifier.heat(image, index)
    : classifier.gradCam(classifier.prepare(image), index);
  const [down, across] = classifier.gradCamShape;
  return { grid: heat.map((value) => Math.max(0, value)), across, down };
}

/**
 * The drop of a class's probability for each place, from 0 up, as rows of a grid over `part`: the
 * mean of the patches over it.
 * `progress` is called with the share that is done; where it returns false the work ends: null.
 */
export async function findEvidence(classifier, image, { index, part, progress }) {
  const { width, height } = image;
  const box = {
    left: part.left * width,
    top: part.top * height,
    width: part.width * width,
    height: part.height * height,
  };
  const step = Math.min(box.width, box.height) / PATCHES;
  const [across, down] = [Math.round(box.width / step), Math.round(box.height / step)];
  const grid = new Float32Array(across * down);
  const whole = (await classifier.predict(image))[index];
  const covered = { data: image.data.slice(), width, height };
  const grey = meanColour(image);
  const columns = across + OVERLAP - 1;
  const count = columns * (down + OVERLAP - 1);
  for (let place = 0; place < count; place++) {
    const [row, column] = [Math.floor(place / columns), place % columns];
    // As many cells each way as patches overlap; those at the border reach beyond it.
    const cells = {
      left: Math.max(0, column - OVERLAP + 1),
      right: Math.min(across, column + 1),
      top: Math.max(0, row - OVERLAP + 1),
      bottom: Math.min(down, row + 1),
    };
    const rectangle = {
      left: Math.round(box.left + (cells.left * box.width) / across),
      right: Math.round(box.left + (cells.right * box.width) / across),
      top: Math.round(box.top + (cells.top * box.height) / down),
      bottom: Math.round(box.top + (cells.bottom * box.height) / down),
    };
    fill(covered, rectangle, grey);
    const left = (await classifier.predict(covered))[index];
    const drop = Math.max(0, whole - left);
    restore(covered, image, rectangle);
    for (let y = cells.top; y < cells.bottom; y++) {
      for (let x = cells.left; x < cells.right; x++) {
        grid[y * across + x] += drop / OVERLAP ** 2;
      }
    }
    if (progress((place + 1) / count) === false) {
      return null;
    }
    await breathe();
  }
  return { grid, across, down, whole };
}

/** Draws a map over the place of the picture that it is of; the strongest cell is opaque. */
export function drawEvidence(canvas, { grid, across, down }) {
  canvas.width = across;
  canvas.height = down;
  const context = canvas.getContext("2d");
  const image = context.createImageData(across, down);
  const most = Math.max(...grid) || 1;
  grid.forEach((value, cell) => {
    const share = value / most;
    image.data.set([...COLOUR, Math.round(210 * share ** 1.5)], 4 * cell);
  });
  context.putImageData(image, 0, 0);
}

function meanColour({ data }) {
  const sums = [0, 0, 0];
  for (let i = 0; i < data.length; i += 4) {
    sums[0] += data[i];
    sums[1] += data[i + 1];
    sums[2] += data[i + 2];
  }
  return sums.map((sum) => Math.round((4 * sum) / data.length));
}

function fill({ data, width }, { left, right, top, bottom }, [red, green, blue]) {
  for (let y = top; y < bottom; y++) {
    for (let i = 4 * (y * width + left); i < 4 * (y * width + right); i += 4) {
      data[i] = red;
      data[i + 1] = green;
      data[i + 2] = blue;
    }
  }
}

function restore({ data, width }, image, { left, right, top, bottom }) {
  for (let y = top; y < bottom; y++) {
    const [from, to] = [4 * (y * width + left), 4 * (y * width + right)];
    data.set(image.data.subarray(from, to), from);
  }
}

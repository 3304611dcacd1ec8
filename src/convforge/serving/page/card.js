/** The model card, for people: what the classifier is, where it came from, how good it was. */

import { find, make, percent } from "./dom.js";

const PARTS = { val: "Accuracy on validation pictures", test: "Accuracy on test pictures" };

/** Fills the view of the model card. */
export function showCard({ card, layers, inputShape }, facts) {
  const [, channels, height, width] = inputShape;
  const colours = channels === 1 ? "grey" : "RGB";
  const macs = layers.reduce((sum, layer) => sum + layer.macs, 0);
  const rows = {
    Network: card.network || "not one of the catalogue",
    Classes: card.classes.length.toLocaleString("en"),
    Input: `${width} × ${height} pixels, ${colours}`,
    Preprocessing: preprocessing(card.preprocess),
    ...accuracies(card.metrics),
    ...inBytes(card.metrics.int8),
    ...(card.data.uri ? { "Trained on": card.data.uri } : {}),
    Computation: `${layers.length} layers, ${(macs / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} million multiply-adds`,
    Weights: weights(facts),
    "Written by": `convforge ${card.convforge}`,
  };
  const list = make("dl", { className: "facts" });
  for (const [name, value] of Object.entries(rows)) {
    list.append(make("dt", {}, name), make("dd", {}, value));
  }
  const names = card.classes.map((name) => make("li", {}, name));
  find("card").replaceChildren(
    list,
    unfold("All classes", make("ul", { className: "all" }, ...names)),
    unfold("The whole card", make("pre", { tabIndex: 0 }, JSON.stringify(card, null, 2))),
  );
}

function preprocessing({ resize, crop, interpolation }) {
  const size = Array.isArray(resize)
    ? `resized to ${resize[1]} × ${resize[0]}`
    : `short side resized to ${resize}`;
  return `${size}, ${interpolation}; the middle ${crop[1]} × ${crop[0]} pixels are kept`;
}

function accuracies(metrics) {
  const found = {};
  for (const [part, name] of Object.entries(PARTS)) {
    if (metrics[part]) {
      const { top1, interval, count } = metrics[part];
      const range = `95 % interval ${interval.map(percent).join(" to ")}`;
      found[name] = `${percent(top1)} of ${count.toLocaleString("en")} (${range})`;
    }
  }
  return found;
}

/** What was measured of a network of bytes when it was compiled. */
function inBytes(record) {
  if (!record?.int8) {
    return {};
  }
  const { float32, int8, agreement } = record;
  return {
    "Accuracy in bytes":
      `${percent(int8.top1)} of ${int8.count.toLocaleString("en")} pictures, ` +
      `${percent(float32.top1)} of the same in float32; the same answer for ${percent(agreement)}`,
  };
}

function weights({ precision, deviation }) {
  if (precision === "int8") {
    return "numbers of one byte, and so are the values between layers";
  }
  if (precision !== "float16") {
    return "float32, as they were trained";
  }
  const off = (100 * deviation).toPrecision(2);
  return `rounded to float16; that moved no output for a test picture by more than ${off} % of the largest`;
}

function unfold(title, content) {
  return make("details", {}, make("summary", {}, title), content);
}

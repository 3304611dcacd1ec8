/** Look inside: the layers in order, what each takes and gives, what it costs, on this device. */

import { breathe, find, make } from "./dom.js";

const RUNS = 20; // the clock's steps are coarse: means over several runs are not

/** Fills the view of the layers; a button times them where the classifier is on this device. */
export function showLayers(classifier, facts) {
  const measure = make("button", { type: "button", className: "main" }, "Time the layers here");
  const intro = make("p", { className: "quiet", role: "status" }, "");
  const table = make("table");
  const show = (times) => {
    intro.textContent = summary(classifier.layers, facts.layers, times);
    table.replaceChildren(...rows(classifier.layers, facts.layers, times));
  };
  measure.addEventListener("click", async () => {
    measure.disabled = true;
    show(await timeLayers(classifier));
    measure.disabled = false;
  });
  show(null);
  measure.hidden = !classifier.profile;
  find("layers").replaceChildren(
    make("div", { className: "row" }, intro, measure),
    make("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: "Layers" }, table),
  );
}

/** Mean milliseconds of every layer. */
async function timeLayers(classifier) {
  const count = classifier.inputShape.reduce((product, length) => product * length, 1);
  const input = new Float32Array(count).fill(0.5);
  const sums = classifier.layers.map(() => 0);
  for (let run = 0; run < RUNS; run++) {
    classifier.profile(input).forEach((time, layer) => (sums[layer] += time / RUNS));
    await breathe();
  }
  return sums;
}

function summary(layers, shapes, times) {
  const parameters = shapes?.reduce((sum, { parameters }) => sum + parameters, 0);
  const macs = layers.reduce((sum, layer) => sum + layer.macs, 0);
  const held = shapes ? `, ${short(parameters)} parameters` : "";
  const size = `${layers.length} layers${held}, ${short(macs)} multiply-adds a picture`;
  if (!times) {
    return `${size}.`;
  }
  const total = times.reduce((sum, time) => sum + time, 0);
  const rate = (2 * macs) / total / 1e6;
  return `${size}: ${total.toFixed(1)} ms, ${rate.toFixed(1)} billion operations a second.`;
}

function rows(layers, shapes, times) {
  const costs = layers.map((layer, index) => (times ? times[index] : layer.macs));
  const most = Math.max(...costs);
  const head = [
    make("th", { scope: "col" }, "Layer"),
    make("th", { scope: "col" }, shapes ? "Operation" : "Kernel"),
    ...[...(shapes ? ["Gives", "Parameters"] : []), "Multiply-adds", ...(times ? ["Time"] : [])].map(
      (title) => make("th", { scope: "col", className: "number" }, title),
    ),
  ];
  const body = layers.map((layer, index) => {
    const { op, gives, parameters } = shapes?.[index] ?? { op: layer.kernel };
    const last = times ? `${times[index].toFixed(2)} ms` : short(layer.macs);
    const width = `${most ? (100 * costs[index]) / most : 0}%`;
    const gauge = make("span", { className: "gauge", ariaHidden: "true" }, make("span", { style: { width } }));
    return make(
      "tr",
      {},
      make("td", {}, layer.name),
      make("td", { title: layer.kernel }, op),
      ...(gives
        ? [number(gives.slice(1).join(" × ")), number(parameters ? short(parameters) : "")]
        : []),
      ...(times ? [number(layer.macs ? short(layer.macs) : "")] : []),
      number(last, gauge),
    );
  });
  return [make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)];
}

const number = (...children) => make("td", { className: "number" }, ...children);

/** 3504872 as "3.50 M". */
function short(count) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (count >= size) {
      return `${(count / size).toPrecision(3)} ${letter}`;
    }
  }
  return `${count}`;
}

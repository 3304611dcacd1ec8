/** Cost: the layers in order, their parameters and multiply-adds, and the time that each takes. */

import { breathe, find, make } from "./dom.js";
import { operation, short } from "./words.js";

const RUNS = 20; // the clock's steps are coarse: means over several runs are not

/** Fills the view of the costs; a button times the layers where the classifier computes. */
export function showCosts(classifier) {
  const { layers } = classifier;
  const measure = make("button", { type: "button", className: "main" }, `Time the layers ${classifier.place ?? "here"}`);
  const intro = make("p", { className: "quiet", role: "status" }, "");
  const table = make("table");
  const show = (times) => {
    intro.textContent = summary(layers, times);
    table.replaceChildren(...rows(layers, times));
  };
  measure.addEventListener("click", async () => {
    measure.disabled = true;
    try {
      show(await timeLayers(classifier));
    } catch (error) {
      intro.textContent = error.message;
    } finally {
      measure.disabled = false;
    }
  });
  show(null);
  find("cost").replaceChildren(
    make("div", { className: "row" }, intro, measure),
    make("div", { className: "scroll", tabIndex: 0, role: "group", ariaLabel: "Layers" }, table),
  );
}

/** Mean milliseconds of every layer. */
async function timeLayers(classifier) {
  if (classifier.times) {
    return classifier.times();
  }
  const count = classifier.inputShape.reduce((product, length) => product * length, 1);
  const input = new Float32Array(count).fill(0.5);
  const sums = classifier.layers.map(() => 0);
  for (let run = 0; run < RUNS; run++) {
    classifier.profile(input).forEach((time, layer) => (sums[layer] += time / RUNS));
    await breathe();
  }
  return sums;
}

function summary(layers, times) {
  const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);
  const macs = sum(layers.map((layer) => layer.macs));
  const held = short(sum(layers.map((layer) => layer.parameters)));
  const size = `${layers.length} layers, ${held} parameters, ${short(macs)} multiply-adds a picture`;
  if (!times) {
    return `${size}.`;
  }
  const total = sum(times);
  const rate = (2 * macs) / total / 1e6;
  return `${size}: ${total.toFixed(total < 10 ? 2 : 1)} ms, ${rate.toFixed(1)} billion operations a second.`;
}

function rows(layers, times) {
  const costs = layers.map((layer, index) => (times ? times[index] : layer.macs));
  const most = Math.max(...costs);
  const titles = [...(times ? ["Time"] : []), "Multiply-adds", "Parameters", "Gives"];
  const head = [
    make("th", { scope: "col" }, "Layer"),
    ...titles.map((title) => make("th", { scope: "col", className: "number" }, title)),
  ];
  const body = layers.map((layer, index) => {
    const { name, kernel, gives, parameters, macs } = layer;
    const first = times ? `${times[index].toFixed(times[index] < 0.1 ? 3 : 2)} ms` : short(macs);
    const width = `${most ? (100 * costs[index]) / most : 0}%`;
    const gauge = make("span", { className: "gauge", ariaHidden: "true" }, make("span", { style: { width } }));
    return make(
      "tr",
      {},
      make("th", { scope: "row", title: kernel }, name, make("small", {}, operation(layer))),
      number(first, gauge),
      ...(times ? [number(macs ? short(macs) : "")] : []),
      number(parameters ? short(parameters) : ""),
      number(gives.slice(1).join(" × ")),
    );
  });
  return [make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)];
}

const number = (...children) => make("td", { className: "number" }, ...children);

/** Probabilities as bars, and in words for who listens. */

import { find, make, percent } from "./dom.js";

const SHOWN = 5;

/** Indices of the most probable classes, of equal ones the first. */
export function best(probabilities, count = SHOWN) {
  const order = Array.from(probabilities.keys());
  return order.sort((a, b) => probabilities[b] - probabilities[a] || a - b).slice(0, count);
}

/** Shows the most probable classes. */
export function showBars(probabilities, classes) {
  const list = find("bars");
  const order = best(probabilities);
  while (list.children.length < order.length) {
    const bar = make("div", { className: "bar", ariaHidden: "true" }, make("span"));
    const label = make("span", { className: "label" });
    list.append(make("li", {}, label, make("data", { className: "share" }), bar));
  }
  order.forEach((index, place) => {
    const [label, share, bar] = list.children[place].children;
    label.textContent = classes[index];
    share.textContent = percent(probabilities[index]);
    share.value = probabilities[index];
    bar.firstChild.style.width = `${100 * probabilities[index]}%`;
  });
  list.hidden = false;
  find("waiting").hidden = true;
}

/** Says the most probable classes to screen readers. */
export function sayResult(probabilities, classes) {
  const parts = best(probabilities, 3).map(
    (index) => `${classes[index]} ${percent(probabilities[index])}`,
  );
  find("spoken").textContent = parts.join(", ");
}

/** Shows how long one picture took, and where; the smallest step of the clock may be a tenth. */
export function showTiming(milliseconds, image, where = "on this device") {
  const time = milliseconds < 100 ? milliseconds.toFixed(1) : milliseconds.toFixed(0);
  const size = `${image.width} × ${image.height} pixels`;
  find("timing").textContent = `${time} ms ${where}, for ${size}`;
  find("timing").hidden = false;
}

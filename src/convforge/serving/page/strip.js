/** The network as a strip of boxes, a layer each, of which one is chosen. */

import { make } from "./dom.js";
import { operation, times } from "./words.js";

const HIGHEST = 104; // pixels of the box of the network's input

/**
 * Fills an element with the boxes: as high as a layer's maps are, as wide as the square root of
 * their number; `choose(place)` is called for what is chosen, -1 is the network's input.
 */
export function showStrip(element, { layers, inputShape }, choose) {
  const items = [{ name: "input", gives: inputShape, words: "what the network is given" }].concat(
    layers.map((layer) => ({ ...layer, words: operation(layer) })),
  );
  const side = Math.max(...inputShape.slice(2));
  const boxes = items.map((item, index) => box(item, index - 1, side));
  const pick = (index, focus) => {
    boxes.forEach((one, place) => {
      one.ariaChecked = String(place === index);
      one.tabIndex = place === index ? 0 : -1;
    });
    if (focus) {
      boxes[index].focus();
    }
    boxes[index].scrollIntoView({ block: "nearest", inline: "nearest" });
    choose(index - 1);
  };
  boxes.forEach((one, index) => {
    one.addEventListener("click", () => pick(index, false));
    one.addEventListener("keydown", (event) => {
      const next = step(event.key, index, boxes.length);
      if (next !== index) {
        event.preventDefault();
        pick(next, true);
      }
    });
  });
  element.replaceChildren(...boxes);
  return (place) => pick(place + 1, false);
}

/** Where a key leads in a row of choices. */
export function step(key, index, count) {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  const ends = { Home: 0, End: count - 1 };
  return key in ends ? ends[key] : (index + (steps[key] ?? 0) + count) % count;
}

function box({ name, gives, words, does }, place, side) {
  const [channels, height = 1, width = 1] = gives.slice(1);
  const kind = does ? kindOf(does.at(-1).op) : "input";
  const shape = make("span", {
    className: `volume ${kind}`,
    style: {
      height: `${Math.max(3, (HIGHEST * Math.max(height, width)) / side)}px`,
      width: `${Math.round(4 + Math.min(48, 1.1 * Math.sqrt(channels)))}px`,
    },
  });
  return make(
    "button",
    {
      type: "button",
      role: "radio",
      ariaChecked: "false",
      tabIndex: -1,
      title: `${name}: ${words}`,
      ariaLabel: `${place < 0 ? "" : `${place + 1}, `}${name}: ${words}, gives ${times(gives.slice(1))}`,
    },
    shape,
  );
}

function kindOf(op) {
  if (op.startsWith("conv2d") || op === "linear" || op === "rbf") {
    return "sums";
  }
  return op.endsWith("_pool") || op === "mean" ? "pools" : "other";
}

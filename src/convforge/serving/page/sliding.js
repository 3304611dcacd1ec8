/** The convolution of one channel by hand: a filter goes from place to place, and each sum is shown. */

import { find, make } from "./dom.js";
import { figure } from "./maps.js";

const LARGEST = 7; // cells along a filter that still fit a page
const MORE = 4; // cells that the piece of the picture has beyond the filter
const PATTERN = ["0000000", "0011100", "0100010", "0000100", "0001000", "0011110", "0000000"];
const EDGE = [-1, 0, 1, -2, 0, 2, -1, 0, 1];
const COLOURS = ["red", "green", "blue"];

export class ByHand {
  #real; // the first layer's filters and window; null where they are not known or too large
  #input = null;
  #at = 0;

  constructor({ layers, inputShape }) {
    const first = layers.find(({ filters }) => filters);
    const kernel = first?.does[0].kernel;
    const known = first && Math.max(...kernel) <= LARGEST && kernel[0] === kernel[1] && !first.filters.weights.includes(null);
    this.#real = known ? { name: first.name, channels: inputShape[1], then: first.does[0].then, ...first.does[0], filters: first.filters } : null;
    this.#offer();
    for (const id of ["hand-filter", "hand-channel", "hand-padding", "hand-stride"]) {
      find(id).addEventListener("change", () => this.#restart());
    }
    const moves = { "hand-first": () => 0, "hand-back": (at) => at - 1, "hand-next": (at) => at + 1, "hand-last": () => Infinity };
    for (const [id, move] of Object.entries(moves)) {
      find(id).addEventListener("click", () => this.#show(move(this.#at)));
    }
    this.#restart();
  }

  /** What the network is given of a picture: {shape, data}. */
  give(input) {
    this.#input = input;
    this.#restart();
  }

  #offer() {
    const filters = this.#real ? this.#real.filters.shape[0] : 0;
    const names = Array.from({ length: filters }, (_, filter) => `filter ${filter + 1} of ${this.#real.gives[0]}`);
    options("hand-filter", [...names, "an edge filter (Sobel)"]);
    const channels = this.#real ? this.#real.channels : 1;
    options("hand-channel", channels === 3 ? COLOURS : Array.from({ length: channels }, (_, c) => (channels === 1 ? "grey" : `${c + 1}`)));
    options("hand-padding", [0, 1, 2, 3]);
    options("hand-stride", [1, 2, 3]);
    if (this.#real) {
      find("hand-padding").value = Math.min(3, this.#real.padding[0]);
      find("hand-stride").value = Math.min(3, this.#real.stride[0]);
    }
  }

  #restart() {
    this.#show(0);
  }

  /** The numbers of the chosen filter, and how many along a side. */
  #filter() {
    const { selectedIndex } = find("hand-filter");
    if (!this.#real || selectedIndex >= this.#real.filters.shape[0]) {
      return { weights: EDGE, side: 3, own: false };
    }
    const [, channels, side] = this.#real.filters.shape;
    const from = (selectedIndex * channels + find("hand-channel").selectedIndex) * side * side;
    return { weights: this.#real.filters.weights.slice(from, from + side * side), side, own: true, bias: this.#real.filters.biases[selectedIndex] };
  }

  /** A square piece of one channel: of the picture's middle, or a drawn figure where there is none. */
  #piece(side) {
    if (!this.#input) {
      const numbers = [...PATTERN.join("")].map(Number);
      return { numbers, size: PATTERN.length, own: false };
    }
    const [, , height, width] = this.#input.shape;
    const size = Math.min(side + MORE, height, width);
    const [top, left] = [Math.floor((height - size) / 2), Math.floor((width - size) / 2)];
    const from = find("hand-channel").selectedIndex * height * width;
    const numbers = Array.from({ length: size * size }, (_, place) => {
      const [row, column] = [Math.floor(place / size), place % size];
      return this.#input.data[from + (top + row) * width + left + column];
    });
    return { numbers, size, own: true };
  }

  #show(at) {
    const filter = this.#filter();
    const piece = this.#piece(filter.side);
    const [p, s] = [Number(find("hand-padding").value), Number(find("hand-stride").value)];
    const [n, f] = [piece.size, filter.side];
    const out = Math.max(0, Math.floor((n + 2 * p - f) / s) + 1);
    const places = out * out;
    this.#at = Math.max(0, Math.min(at, places - 1));
    const [row, column] = [Math.floor(this.#at / out), this.#at % out];
    const padded = n + 2 * p;
    const value = (y, x) => {
      const [i, j] = [y - p, x - p];
      return i < 0 || j < 0 || i >= n || j >= n ? null : piece.numbers[i * n + j];
    };
    const within = (y, x) => y >= row * s && y < row * s + f && x >= column * s && x < column * s + f;
    const sums = sumsOf(value, filter, { out, s });
    find("hand-size").textContent = `⌊(${n} + 2·${p} − ${f}) / ${s}⌋ + 1 = ${out}: the filter has ${out} × ${out} places`;
    grid("hand-input", padded, (y, x) => {
      const number = value(y, x);
      return { text: number === null ? "0" : figure(number), names: [number === null && "padding", within(y, x) && "under"] };
    });
    grid("hand-weights", f, (y, x) => ({ text: figure(filter.weights[y * f + x]), names: [] }));
    grid("hand-output", out, (y, x) => {
      const place = y * out + x;
      return { text: place <= this.#at ? figure(sums[place]) : "", names: [place === this.#at && "under"] };
    });
    find("hand-sum").textContent = places ? terms(value, filter, { row, column, s, sum: sums[this.#at], out }) : "";
    find("hand-note").textContent = note(this.#real, filter, piece);
    find("hand-first").disabled = find("hand-back").disabled = this.#at === 0;
    find("hand-next").disabled = find("hand-last").disabled = this.#at >= places - 1;
  }
}

function options(id, names) {
  find(id).replaceChildren(...names.map((name) => make("option", {}, `${name}`)));
}

/** Fills a table of `side` × `side` cells. */
function grid(id, side, cell) {
  const rows = Array.from({ length: side }, (_, y) =>
    make(
      "tr",
      {},
      ...Array.from({ length: side }, (_, x) => {
        const { text, names } = cell(y, x);
        return make("td", { className: names.filter(Boolean).join(" ") }, text);
      }),
    ),
  );
  find(id).replaceChildren(make("tbody", {}, ...rows));
}

function sumsOf(value, { weights, side }, { out, s }) {
  return Array.from({ length: out * out }, (_, place) => {
    const [row, column] = [Math.floor(place / out), place % out];
    return weights.reduce((sum, weight, tap) => {
      const [i, j] = [Math.floor(tap / side), tap % side];
      return sum + weight * (value(row * s + i, column * s + j) ?? 0);
    }, 0);
  });
}

function terms(value, { weights, side }, { row, column, s, sum, out }) {
  const products = weights.map((weight, tap) => {
    const number = value(row * s + Math.floor(tap / side), column * s + (tap % side)) ?? 0;
    return `${bracket(number)} · ${bracket(weight)}`;
  });
  return `Place ${row * out + column + 1} of ${out * out}, row ${row + 1}, column ${column + 1}: ${products.join(" + ")} = ${figure(sum)}`;
}

function bracket(number) {
  return number < 0 ? `(${figure(number)})` : figure(number);
}

function note(real, filter, piece) {
  const from = piece.own
    ? "The numbers are the middle of your picture in this channel, as the network is given it."
    : "The numbers are a drawn figure 2; with a picture under “Classify” they are its own.";
  if (!filter.own) {
    return `${from} The filter is a well-known one for upright edges, not of this network.`;
  }
  const others = real.channels > 1 ? `The layer adds the sums of all ${real.channels} channels and` : "The layer adds";
  const then = real.then.length ? `, then applies ${real.then.join(", ")}` : "";
  return `${from} The filter is this network’s own, of ${real.name}. ${others} the bias ${figure(filter.bias)}${then}.`;
}

/**
 * Look inside: the network layer by layer, to scale, with what each takes, gives and sees, and the
 * maps that it gives for the picture, which the classifier itself computes.
 */

import { find, make } from "./dom.js";
import { drawMap, figure, legend, range } from "./maps.js";
import { ByHand } from "./sliding.js";
import { showStrip, step } from "./strip.js";
import { multiplyAdds, operation, parameters, sees, sizes, times } from "./words.js";

const SHOWN_MAPS = 64; // maps of a layer
const ALONG = 32; // numbers in a row where a layer gives no maps
const NO_PICTURE = "Give it a picture under “Classify”, and its maps are shown here.";

export class Inside {
  #classifier;
  #layer = -1;
  #map = 0;
  #picture = null; // {image, part}
  #input = null; // what the network is given of it
  #found = null; // {shape, data, low, high} of the chosen layer
  #turn = 0;
  #stale = false;
  #hand;

  constructor(classifier) {
    this.#classifier = classifier;
    this.#hand = new ByHand(classifier);
    const choose = showStrip(find("strip"), classifier, (layer) => this.#choose(layer));
    for (const id of ["row", "column"]) {
      find(id).addEventListener("input", () => this.#point());
    }
    find("inside").addEventListener("shown", () => this.#refresh());
    this.#listenToPlaces();
    choose(Math.min(0, classifier.layers.length - 1));
  }

  /** Another picture: {data, width, height, file}, and the part of it that the network sees. */
  give(image, part) {
    this.#picture = { image, part };
    this.#input = null;
    this.#stale = true;
    this.#drawPicture();
    this.#point();
    if (!find("inside").hidden) {
      this.#refresh();
    }
  }

  #refresh() {
    if (this.#stale) {
      this.#stale = false;
      this.#compute();
    }
  }

  #choose(layer) {
    this.#layer = layer;
    this.#map = 0;
    this.#found = null;
    this.#describe();
    find("maps").ariaBusy = "true"; // what is shown is of another layer
    if (find("inside").hidden) {
      this.#stale = true;
    } else {
      this.#compute();
    }
  }

  get #gives() {
    const { layers, inputShape } = this.#classifier;
    return (this.#layer < 0 ? inputShape : layers[this.#layer].gives).slice(1);
  }

  #describe() {
    const { layers, inputShape } = this.#classifier;
    const layer = layers[this.#layer];
    find("layer-name").textContent = layer ? layer.name : "input";
    find("layer-words").textContent = layer
      ? `Layer ${this.#layer + 1} of ${layers.length}: ${operation(layer)}`
      : "What the network is given: the picture, resized, cut and normalised";
    const rows = layer ? describe(layer, layers, inputShape) : [["Gives", times(this.#gives)]];
    find("layer-facts").replaceChildren(
      ...rows.flatMap(([name, ...values]) => [
        make("dt", {}, name),
        ...values.map((value) => make("dd", {}, value)),
      ]),
    );
    const [, height, width] = this.#gives;
    for (const [id, count] of [["row", height], ["column", width]]) {
      Object.assign(find(id), { min: 1, max: count ?? 1, value: Math.ceil((count ?? 1) / 2) });
    }
    this.#point();
  }

  async #compute() {
    const note = find("maps-note");
    const turn = ++this.#turn;
    if (!this.#picture) {
      note.textContent = NO_PICTURE;
      find("maps").ariaBusy = "false";
      return;
    }
    try {
      const found = await this.#maps();
      if (turn !== this.#turn) {
        return;
      }
      this.#found = { ...found, ...range(found.data) };
      this.#drawMaps();
    } catch (error) {
      if (turn !== this.#turn) {
        return;
      }
      note.textContent = error.message;
      find("maps").replaceChildren();
    }
    find("maps").ariaBusy = "false";
  }

  /** {shape, data} of the chosen layer, computed by the classifier. */
  async #maps() {
    const { image } = this.#picture;
    const classifier = this.#classifier;
    if (!this.#input) {
      this.#input = classifier.maps
        ? await classifier.maps(image, -1)
        : { shape: classifier.inputShape, data: classifier.prepare(image) };
      this.#hand.give(this.#input);
    }
    if (this.#layer < 0) {
      return this.#input;
    }
    if (classifier.maps) {
      return classifier.maps(image, this.#layer);
    }
    const shape = classifier.layers[this.#layer].gives;
    return { shape, data: classifier.featureMaps(this.#input.data, this.#layer) };
  }

  #drawMaps() {
    const { shape, data, low, high } = this.#found;
    const [channels, height = 1, width = 1] = shape.slice(1);
    const all = this.#gives[0];
    const place = find("maps");
    if (height * width === 1) {
      const canvas = make("canvas", { role: "img", ariaLabel: `${channels} numbers` });
      drawMap(canvas, data, 0, { width: Math.min(ALONG, channels), height: Math.ceil(channels / ALONG), low, high });
      place.className = "numbers";
      place.replaceChildren(canvas);
      find("maps-note").textContent = `${count(all, channels, "number")}, row by row. ${legend(this.#found)}`;
      this.#point();
      return;
    }
    const shown = Math.min(SHOWN_MAPS, channels);
    const tiles = Array.from({ length: shown }, (_, map) => {
      const canvas = make("canvas", { ariaHidden: "true" });
      drawMap(canvas, data, map * height * width, { width, height, low, high });
      const tile = make("button", { type: "button", role: "radio", ariaLabel: `Map ${map + 1}`, title: `Map ${map + 1}` }, canvas);
      tile.addEventListener("click", () => this.#enlarge(map, tiles));
      tile.addEventListener("keydown", (event) => {
        const next = step(event.key, map, shown);
        if (next !== map) {
          event.preventDefault();
          tiles[next].focus();
          this.#enlarge(next, tiles);
        }
      });
      return tile;
    });
    place.className = "tiles";
    place.replaceChildren(...tiles);
    find("maps-note").textContent = `${count(all, shown, "map")}. ${legend(this.#found)}`;
    this.#enlarge(Math.min(this.#map, shown - 1), tiles);
  }

  #enlarge(map, tiles) {
    if (!this.#found) {
      return; // the tiles of another layer, which are about to go
    }
    this.#map = map;
    tiles.forEach((tile, place) => {
      tile.ariaChecked = String(place === map);
      tile.tabIndex = place === map ? 0 : -1;
    });
    const { data, low, high } = this.#found;
    const [, height, width] = this.#gives;
    drawMap(find("large"), data, map * height * width, { width, height, low, high });
    this.#point();
  }

  #drawPicture() {
    const { part } = this.#picture;
    const [, , height, width] = this.#classifier.inputShape;
    const from = find("picture");
    const canvas = find("given");
    const scale = Math.max(1, Math.round(448 / Math.max(height, width)));
    canvas.width = width * scale;
    canvas.height = height * scale;
    const [left, top, across, down] = [part.left * from.width, part.top * from.height, part.width * from.width, part.height * from.height];
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = from.className !== "pixels";
    context.drawImage(from, left, top, across, down, 0, 0, canvas.width, canvas.height);
  }

  /** Frames the chosen place of the map, and what it sees of the picture. */
  #point() {
    const { layers, inputShape } = this.#classifier;
    const layer = layers[this.#layer];
    const [, height = 1, width = 1] = this.#gives;
    const [row, column] = [Number(find("row").value) - 1, Number(find("column").value) - 1];
    const spatial = height * width > 1;
    find("enlarged").hidden = !(this.#found && spatial);
    frame(find("cell"), { left: column / width, top: row / height, width: 1 / width, height: 1 / height });
    const field = layer ? layer.field : { first: [0, 0], size: [1, 1], jump: [1, 1] };
    find("field").hidden = !field;
    find("looks").hidden = !this.#picture;
    find("places").hidden = !this.#picture || !spatial;
    if (field) {
      const [down, across] = inputShape.slice(2);
      const [top, left] = [field.first[0] + row * field.jump[0], field.first[1] + column * field.jump[1]];
      frame(find("field"), { left: left / across, top: top / down, width: field.size[1] / across, height: field.size[0] / down });
    }
    const value = this.#found ? this.#found.data[this.#map * height * width + row * width + column] : null;
    const said = spatial && value !== null ? `Map ${this.#map + 1} has ${figure(value)} at row ${row + 1}, column ${column + 1}. ` : "";
    const framed = field && this.#picture ? "The frame in the picture is all that this place sees of it." : "";
    find("place-words").textContent = said + framed;
    find("row-value").textContent = `${row + 1} of ${height}`;
    find("column-value").textContent = `${column + 1} of ${width}`;
  }

  /** A click on the picture or on the enlarged map chooses the place there. */
  #listenToPlaces() {
    const choose = (event, toPlace) => {
      const area = event.currentTarget.getBoundingClientRect();
      const share = { x: (event.clientX - area.left) / area.width, y: (event.clientY - area.top) / area.height };
      const [, height = 1, width = 1] = this.#gives;
      const { row, column } = toPlace(share, height, width);
      find("row").value = row + 1; // inputs keep what they are given within their bounds
      find("column").value = column + 1;
      this.#point();
    };
    find("enlarged-view").addEventListener("click", (event) =>
      choose(event, ({ x, y }, height, width) => ({ row: Math.floor(y * height), column: Math.floor(x * width) })),
    );
    find("given-view").addEventListener("click", (event) =>
      choose(event, ({ x, y }) => {
        const field = this.#classifier.layers[this.#layer]?.field ?? { first: [0, 0], size: [1, 1], jump: [1, 1] };
        const [down, across] = this.#classifier.inputShape.slice(2);
        const at = (share, size, axis) => Math.round((share * size - field.first[axis] - field.size[axis] / 2) / field.jump[axis]);
        return { row: at(y, down, 0), column: at(x, across, 1) };
      }),
    );
  }
}

const count = (all, shown, word) => `${shown < all ? `The first ${shown} of ` : ""}${all} ${word}${all === 1 ? "" : "s"}`;

function frame(element, sides) {
  for (const [side, share] of Object.entries(sides)) {
    element.style[side] = `${100 * share}%`;
  }
}

/** What is said of a layer: [name, value, …]. */
function describe(layer, layers, inputShape) {
  const sources = [...new Set(layer.reads.flat())].map((place) => layers[place]?.name ?? "input");
  const formulas = layer.does.flatMap((one) =>
    sizes(one).map(([name, formula]) => `${name} ${formula}`),
  );
  const together = layer.does.length + layer.does.reduce((sum, { then }) => sum + then.length, 0);
  return [
    ["Reads", sources.join(", ")],
    ["Gives", times(layer.gives.slice(1))],
    ...(formulas.length ? [["Size: ⌊(n + 2p − f) / s⌋ + 1", ...formulas]] : []),
    ["Parameters", parameters(layer)],
    ["Multiply-adds", multiplyAdds(layer)],
    ["A place sees", sees(layer, inputShape)],
    ...(together > 1
      ? [["Computed together", `${operation(layer)}. Only the last of these maps is ever stored, and shown here.`]]
      : []),
    ["Kernel", layer.kernel],
  ];
}

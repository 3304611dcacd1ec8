/** A classifier on a server: every picture is sent there, and the answer waited for. */

const SENT_AS_IS = ["image/jpeg", "image/png", "image/gif", "image/bmp", "image/webp"];
const MOST_MAPS = 64; // that are asked for of a layer
const TRIES = 5; // of a request that the server has no room for

/** What the page needs of a classifier; `predict` and `selftest` answer later. */
export class Remote {
  /** Behind a time, in words, and behind what is computed there. */
  where = "to the server and back";
  place = "on the server";

  constructor({ card, layers, inputShape, gradCamShape }) {
    this.card = card;
    this.classes = card.classes;
    this.layers = layers;
    this.inputShape = inputShape;
    this.gradCamShape = gradCamShape;
  }

  /** Whether the server computes what the model did, which it finds out before it is ready. */
  async selftest() {
    await ask("readyz");
    return true;
  }

  /**
   * Probabilities of the classes. A picture from a file is sent as it is where the server reads its
   * kind, else as PNG; frames and covered pictures as bare pixels, for there are many of them.
   */
  async predict(image) {
    const response = await ask(`predict?top=${this.classes.length}`, await posted(image));
    const answer = await response.json();
    const probabilities = new Float32Array(this.classes.length);
    for (const { index, probability } of answer.images[0].predictions) {
      probabilities[index] = probability;
    }
    return probabilities;
  }

  /** What a layer gives for a picture, the first maps of it; -1 is what the network is given. */
  async maps(image, layer) {
    const path = `layers/${layer}/maps?channels=${MOST_MAPS}`;
    const response = await ask(path, await posted(image));
    return numbers(await response.arrayBuffer());
  }

  /** Grad-CAM of a class for a picture: rows * columns of gradCamShape. */
  async heat(image, index) {
    const response = await ask(`evidence?index=${index}`, await posted(image));
    return numbers(await response.arrayBuffer()).data;
  }

  /** Milliseconds of every layer, on the server. */
  async times() {
    return (await (await ask("layers/times")).json()).ms;
  }
}

/** {shape, data} of a NumPy file of float32: its head is text behind ten bytes, then the numbers. */
function numbers(file) {
  const length = new DataView(file).getUint16(8, true);
  const head = new TextDecoder().decode(new Uint8Array(file, 10, length));
  const shape = head.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((part) => part.trim());
  return { shape: shape.map(Number), data: new Float32Array(file, 10 + length) };
}

async function posted(image) {
  const body = await packed(image);
  return { method: "POST", headers: { "Content-Type": body.type }, body };
}

/** The server's answer. Throws an Error in words for people. */
async function ask(path, options) {
  for (let tries = 1; ; tries++) {
    let response;
    try {
      response = await fetch(path, options);
    } catch {
      throw new Error("The server does not answer: it may have been stopped.");
    }
    if (response.ok) {
      return response;
    }
    const seconds = response.headers.get("Retry-After");
    if (!seconds || tries === TRIES) {
      const answer = await response.json().catch(() => ({}));
      throw new Error(answer.error ?? `The server refused: ${response.status}.`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  }
}

function packed({ data, width, height, file }) {
  if (SENT_AS_IS.includes(file?.type)) {
    return file;
  }
  if (file) {
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(new ImageData(data, width), 0, 0);
    return canvas.convertToBlob({ type: "image/png" }); // which waits for the browser to be idle
  }
  const rgb = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    rgb[to++] = data[from];
    rgb[to++] = data[from + 1];
    rgb[to++] = data[from + 2];
  }
  return new Blob([`P6 ${width} ${height} 255\n`, rgb], { type: "image/x-portable-pixmap" });
}

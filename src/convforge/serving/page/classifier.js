/**
 * A classifier that convforge compiled to WebAssembly: from pixels to probabilities.
 *
 * `load` takes the module's bytes, and its weights where those come beside it. The module needs a
 * clock and nothing else of its host. This file is the whole loader: it imports nothing.
 */

const IMAGE_SIZE = 1; // what cf_predict says of an image that the preprocessing does not take

/** An error in words for people. */
export class ClassifierError extends Error {
  name = "ClassifierError";
}

/**
 * Compiles a module and gives its classifier.
 * @param {BufferSource} bytes a .wasm file that `convforge compile` wrote
 * @param {{data: Uint8Array, runs: [number, 16 | 32][]}} [weights] of a module without its own:
 *   runs of (how many numbers, bits of each), one behind the other in `data`
 */
export async function load(bytes, weights) {
  let memory;
  const clock = (_id, _precision, out) => {
    const nanoseconds = BigInt(Math.round(performance.now() * 1e6));
    new DataView(memory.buffer).setBigUint64(out, nanoseconds, true);
    return 0;
  };
  const wasi = { clock_time_get: clock };
  const { instance } = await WebAssembly.instantiate(bytes, { wasi_snapshot_preview1: wasi });
  memory = instance.exports.memory;
  instance.exports._initialize?.();
  if (weights) {
    expand(weights, memory.buffer, instance.exports.cf_weights_room());
  }
  return new Classifier(instance.exports);
}

/** Writes runs of float16 and float32 numbers as float32 to memory. */
function expand({ data, runs }, buffer, address) {
  const wide = runs.some(([, bits]) => bits === 16) ? everyHalf() : null;
  let from = data.byteOffset;
  let to = address;
  for (const [count, bits] of runs) {
    const room = new Float32Array(buffer, to, count);
    if (bits === 16) {
      const halves = new Uint16Array(data.buffer, from, count);
      for (let i = 0; i < count; i++) {
        room[i] = wide[halves[i]];
      }
    } else {
      room.set(new Float32Array(data.buffer, from, count));
    }
    from += (count * bits) / 8;
    to += count * 4;
  }
}

/** The values of all 65536 float16 numbers, by their bits. */
function everyHalf() {
  const values = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size =
      exponent === 0
        ? fraction * 2 ** -24
        : exponent === 31
          ? fraction ? NaN : Infinity
          : (1024 + fraction) * 2 ** (exponent - 25);
    values[bits] = bits >> 15 ? -size : size;
  }
  return values;
}

/** One network with memory for one prediction at a time. */
export class Classifier {
  #wasm;
  #context;

  constructor(wasm) {
    this.#wasm = wasm;
    this.#context = wasm.cf_create();
    if (!this.#context) {
      throw new ClassifierError("There is not enough memory for this classifier.");
    }
    const card = wasm.cf_card();
    /** What the classifier says about itself; null of a bare network. */
    this.card = card ? JSON.parse(this.#text(card)) : null;
    /** Class names in the order of the probabilities. */
    this.classes = this.card ? this.card.classes : [];
    /** Lengths of the axes of the network's input, and of its output. */
    this.inputShape = this.#shape(wasm.cf_input_shape());
    this.outputShape = this.#shape(wasm.cf_output_shape());
    /** Rows and columns of what gradCam gives; none where it has nothing to give. */
    this.gradCamShape = this.#shape(wasm.cf_grad_cam_shape());
    /** What every layer does and costs, in the order in which they are computed. */
    this.layers = Array.from({ length: wasm.cf_layers() }, (_, layer) => ({
      name: this.#text(wasm.cf_layer_name(layer)),
      kernel: this.#text(wasm.cf_layer_kernel(layer)),
      macs: Number(wasm.cf_layer_macs(layer)),
      ...JSON.parse(this.#text(wasm.cf_layer_facts(layer))),
    }));
  }

  /** Whether this machine computes what the model did, for an input that the module holds. */
  selftest() {
    return this.#wasm.cf_selftest(this.#context) === 0;
  }

  /**
   * Probabilities of the classes.
   * @param {{data: Uint8ClampedArray | Uint8Array, width: number, height: number}} image rows of
   *   RGBA pixels without gaps, an ImageData say; alpha is left out
   */
  predict(image) {
    return this.#give(image, "cf_predict", this.classes.length);
  }

  /** What the network is given of a picture: a Float32Array of inputShape. */
  prepare(image) {
    return this.#give(image, "cf_preprocess_image", this.#wasm.cf_input_floats());
  }

  /**
   * What a layer, by its place in `layers`, gives for an input of the network: numbers of that
   * layer's `gives`. The network is computed up to there.
   */
  featureMaps(input, layer) {
    const count = Number(this.#wasm.cf_layer_floats(layer));
    if (!count) {
      throw new ClassifierError(`There is no layer ${layer}; there are ${this.layers.length}.`);
    }
    return this.#compute(input, (x) =>
      this.#with([4 * count], (maps) => {
        this.#wasm.cf_feature_maps(this.#context, x, layer, maps);
        return this.#floats(maps, count);
      }),
    );
  }

  /**
   * Grad-CAM of one logit for an input of the network: what each place of the last maps before the
   * head gives to it, as a Float32Array of rows * columns. Throws where gradCamShape is empty.
   */
  gradCam(input, index) {
    const count = this.gradCamShape.reduce((product, length) => product * length, 1);
    return this.#compute(input, (x) =>
      this.#with([4 * count], (heat) => {
        if (this.#wasm.cf_grad_cam(this.#context, x, index, heat)) {
          throw new ClassifierError(
            this.gradCamShape.length
              ? `There is no logit ${index}.`
              : "The layers do not end in a head that is known as one.",
          );
        }
        return this.#floats(heat, count);
      }),
    );
  }

  /** The network alone: a Float32Array of inputShape to one of outputShape. */
  run(input) {
    return this.#compute(input, (x, y) => {
      this.#wasm.cf_run(this.#context, x, y);
      return this.#floats(y, this.#wasm.cf_output_floats());
    });
  }

  /** Milliseconds that each layer took in one `run`. */
  profile(input) {
    const count = this.layers.length;
    return this.#compute(input, (x, y) =>
      this.#with([8 * count], (times) => {
        this.#wasm.cf_profile(this.#context, x, y, times);
        const nanoseconds = new BigInt64Array(this.#wasm.memory.buffer, times, count);
        return Array.from(nanoseconds, (time) => Number(time) / 1e6);
      }),
    );
  }

  /** `count` numbers of a picture, by a function of the module. */
  #give({ data, width, height }, name, count) {
    const pixels = width * height;
    if (data.length !== 4 * pixels) {
      throw new ClassifierError(`${width} x ${height} pixels of RGBA are ${4 * pixels} bytes.`);
    }
    return this.#with([3 * pixels, 4 * count], (rgb, result) => {
      const bytes = new Uint8Array(this.#wasm.memory.buffer, rgb, 3 * pixels);
      for (let from = 0, to = 0; from < data.length; from += 4) {
        bytes[to++] = data[from];
        bytes[to++] = data[from + 1];
        bytes[to++] = data[from + 2];
      }
      const status = this.#wasm[name](this.#context, rgb, width, height, result);
      if (status === IMAGE_SIZE) {
        throw new ClassifierError(
          `A picture of ${width} × ${height} pixels is too large, or has none: make it smaller.`,
        );
      }
      if (status) {
        throw new ClassifierError("This network has no preprocessing: it takes tensors, with run.");
      }
      return this.#floats(result, count);
    });
  }

  #compute(input, work) {
    const [takes, gives] = [this.#wasm.cf_input_floats(), this.#wasm.cf_output_floats()];
    if (input.length !== takes) {
      throw new ClassifierError(`The network takes ${takes} numbers, not ${input.length}.`);
    }
    return this.#with([4 * takes, 4 * gives], (x, y) => {
      new Float32Array(this.#wasm.memory.buffer, x, takes).set(input);
      return work(x, y);
    });
  }

  /** Calls `work` with the addresses of as many bytes of memory, and frees them. */
  #with(sizes, work) {
    const addresses = [];
    try {
      for (const size of sizes) {
        const address = this.#wasm.malloc(size);
        if (!address) {
          throw new ClassifierError("There is not enough memory for this picture.");
        }
        addresses.push(address);
      }
      return work(...addresses);
    } finally {
      addresses.forEach((address) => this.#wasm.free(address));
    }
  }

  #floats(address, count) {
    return new Float32Array(this.#wasm.memory.buffer, address, count).slice();
  }

  #shape(address) {
    const lengths = new Int32Array(this.#wasm.memory.buffer, address);
    return Array.from(lengths.subarray(0, lengths.indexOf(0)));
  }

  #text(address) {
    const bytes = new Uint8Array(this.#wasm.memory.buffer);
    return new TextDecoder().decode(bytes.subarray(address, bytes.indexOf(0, address)));
  }
}

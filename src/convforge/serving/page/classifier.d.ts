/** An error in words for people. */
export class ClassifierError extends Error {}

export interface Pixels {
  /** Rows of RGBA pixels without gaps; alpha is left out. */
  data: Uint8ClampedArray | Uint8Array;
  width: number;
  height: number;
}

/** Weights of a module without its own: runs of numbers, one behind the other in `data`. */
export interface Weights {
  data: Uint8Array;
  runs: [count: number, bits: 16 | 32][];
}

export interface Layer {
  name: string;
  kernel: string;
  /** Multiply-adds. */
  macs: number;
  /** Shape of the map that it gives, the batch first. */
  gives: number[];
  parameters: number;
  /** For each map that it reads, the layers that wrote it; -1 is the network's input. */
  reads: number[][];
  /** What one place of the map sees of the input; null where that is not known. */
  field: {
    first: [rows: number, columns: number];
    size: [rows: number, columns: number];
    jump: [rows: number, columns: number];
    /** Whether it depends on the whole input besides. */
    gated: boolean;
  } | null;
  /** What it does, one after another, with nothing stored in between. */
  does: Operation[];
  /** The first filters of a convolution of the network's input. */
  filters?: { shape: number[]; weights: (number | null)[]; biases: (number | null)[] };
}

export interface Operation {
  op: string;
  /** Elementwise steps behind it. */
  then: string[];
  /** [C, H, W] or [F]. */
  takes: number[];
  gives: number[];
  kernel?: [rows: number, columns: number];
  stride?: [rows: number, columns: number];
  dilation?: [rows: number, columns: number];
  padding?: [top: number, left: number, bottom: number, right: number];
  groups?: number;
}

export interface Card {
  network: string;
  classes: string[];
  preprocess: {
    resize: number | [height: number, width: number];
    crop: [height: number, width: number];
    mean: number[];
    std: number[];
    interpolation: "box" | "bilinear" | "bicubic" | "lanczos";
  };
  metrics: Record<string, unknown>;
  recipe: Record<string, unknown>;
  data: Record<string, unknown>;
  arguments: Record<string, unknown>;
  convforge: string;
  format: number;
}

/** One network with memory for one prediction at a time. */
export class Classifier {
  private constructor();
  /** What the classifier says about itself; null of a bare network. */
  readonly card: Card | null;
  /** Class names in the order of the probabilities. */
  readonly classes: string[];
  readonly inputShape: number[];
  readonly outputShape: number[];
  /** Rows and columns of what gradCam gives; none where it has nothing to give. */
  readonly gradCamShape: number[];
  readonly layers: Layer[];
  /** Whether this machine computes what the model did. */
  selftest(): boolean;
  /** Probabilities of the classes. Throws ClassifierError. */
  predict(image: Pixels): Float32Array;
  /** What the network is given of a picture: numbers of inputShape. Throws ClassifierError. */
  prepare(image: Pixels): Float32Array;
  /** What a layer gives for an input: numbers of its `gives`. Throws ClassifierError. */
  featureMaps(input: ArrayLike<number>, layer: number): Float32Array;
  /** What each place of the last maps before the head gives to a logit. Throws ClassifierError. */
  gradCam(input: ArrayLike<number>, index: number): Float32Array;
  /** The network alone: numbers of inputShape to numbers of outputShape. */
  run(input: ArrayLike<number>): Float32Array;
  /** Milliseconds that each layer took in one `run`. */
  profile(input: ArrayLike<number>): number[];
}

/** Compiles a module that `convforge compile` wrote and gives its classifier. */
export function load(bytes: BufferSource, weights?: Weights): Promise<Classifier>;

/** Layers in words and formulas: what `facts` of an artifact say, for people. */

const NAMES = {
  conv2d: "convolution",
  conv2d_add: "convolution",
  conv2d_pair: "two convolutions",
  max_pool: "largest of",
  avg_pool: "mean of",
  adaptive_avg_pool: "mean of regions",
  adaptive_max_pool: "largest of regions",
  linear: "linear",
  add: "sum",
  mul: "product",
  concat: "joined",
  elementwise: "value by value",
  batch_norm: "batch normalisation",
  lrn: "local response normalisation",
  rbf: "distances to codes",
};

/** 3504872 as "3.50 M". */
export function short(count) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (count >= size) {
      return `${(count / size).toPrecision(3)} ${letter}`;
    }
  }
  return `${count}`;
}

/** [3, 32, 32] as "3 × 32 × 32". */
export const times = (lengths) => lengths.join(" × ");

/** What a layer does: "convolution 3 × 3, stride 2, relu, then …". */
export function operation({ does }) {
  return does.map(part).join(", then ");
}

function part({ op, kernel, stride, groups, takes, gives, then }) {
  if (op === "elementwise" && !then.length) {
    return "the same numbers in another order of memory";
  }
  const words = [NAMES[op] ?? op.replaceAll("_", " ")];
  if (kernel) {
    words[0] += ` ${times(kernel)}`;
    if (stride.some((step) => step !== 1)) {
      words.push(`stride ${times([...new Set(stride)])}`);
    }
    if (groups > 1) {
      words.push(groups === takes[0] && groups === gives[0] ? "each map by itself" : `${groups} groups`);
    }
  }
  if (op === "conv2d_add") {
    words.push("added to a map");
  }
  return [...words, ...then.map((step) => step.replaceAll("_", " "))].join(", ");
}

/**
 * How a window's size follows, with numbers: [["rows", "⌊(32 + 2·2 − 5) / 1⌋ + 1 = 32"], …]; none
 * where an operation has no window or another rule.
 */
export function sizes({ kernel, stride, padding, dilation, takes, gives }) {
  if (!kernel) {
    return [];
  }
  const lines = ["rows", "columns"].map((name, axis) => {
    const [n, f, s, d] = [takes[1 + axis], kernel[axis], stride[axis], dilation[axis]];
    const [before, after] = [padding[axis], padding[axis + 2]];
    const reach = d * (f - 1) + 1;
    const found = Math.floor((n + before + after - reach) / s) + 1;
    if (found !== gives[1 + axis]) {
      return null;
    }
    const pads = before === after ? `2·${before}` : `${before} + ${after}`;
    const taps = d === 1 ? `${f}` : `(${d}·(${f} − 1) + 1)`;
    return [name, `⌊(${n} + ${pads} − ${taps}) / ${s}⌋ + 1 = ${found}`];
  });
  if (lines.includes(null)) {
    return [];
  }
  return lines[0][1] === lines[1][1] ? [["side", lines[0][1]]] : lines;
}

/** The learned numbers of a layer as a sum: "6 × 1 × 5 × 5 + 6 = 156"; as they are where no rule is known. */
export function parameters({ does, parameters }) {
  if (!parameters) {
    return "none";
  }
  const weights = does.map(weightShape).filter(Boolean);
  const outputs = does.filter(weightShape).map(({ gives }) => gives[0]);
  const product = (lengths) => lengths.reduce((all, length) => all * length, 1);
  const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);
  const rest = parameters - sum(weights.map(product));
  const all = `= ${parameters.toLocaleString("en")}`;
  if (weights.length && (rest === 0 || rest === sum(outputs))) {
    const terms = weights.map((shape, place) =>
      rest ? `${times(shape)} + ${outputs[place]}` : times(shape),
    );
    return `${terms.join(" + ")} ${all}`;
  }
  return parameters.toLocaleString("en");
}

/** The multiply-adds of a layer as a sum: for each number of the result the weights behind it. */
export function multiplyAdds({ does, macs, gives }) {
  if (!macs) {
    return "none";
  }
  const terms = does.filter(weightShape).map((one) => {
    const [, ...inputs] = weightShape(one);
    return [times(one.gives), ...inputs].join(" × ");
  });
  const images = gives[0] > 1 ? `${gives[0]} × ` : "";
  return terms.length
    ? `${images}${terms.join(" + ")} = ${macs.toLocaleString("en")}`
    : macs.toLocaleString("en");
}

/** [outputs, inputs, …window] of the weights of a convolution or a linear layer; else null. */
function weightShape({ op, kernel, groups, takes, gives }) {
  if (op.startsWith("conv2d")) {
    return [gives[0], takes[0] / groups, ...kernel];
  }
  return op === "linear" && takes.length === 1 && gives.length === 1 ? [gives[0], takes[0]] : null;
}

/** What one place of a layer's map sees of the network's input. */
export function sees({ field, gives }, [, , height, width]) {
  if (!field) {
    return "not known: an operation on the way moves places about";
  }
  const [rows, columns] = field.size;
  const whole = rows >= height && columns >= width ? ", as large as the picture or larger" : "";
  const gates = field.gated ? "; through its gates the whole picture besides" : "";
  const places = gives.slice(2).some((length) => length > 1);
  const apart = places ? `, from place to place ${times([...new Set(field.jump)])} apart` : "";
  return `${rows} × ${columns} pixels${whole}${apart}${gates}`;
}

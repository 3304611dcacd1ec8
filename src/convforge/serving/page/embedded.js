/** The page as one file: the module, its weights and the examples lie in it as text. */

import { load } from "./classifier.js";
import { find } from "./dom.js";
import { start } from "./page.js";

/** The text of an element, which goes with it: it may be as large as all weights. */
function take(id) {
  const element = find(id);
  element.remove();
  return element.textContent;
}

function bytes(text) {
  if (Uint8Array.fromBase64) {
    return Uint8Array.fromBase64(text);
  }
  const letters = atob(text);
  const found = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) {
    found[i] = letters.charCodeAt(i);
  }
  return found;
}

/* The smallest module with a relaxed multiply-add: engines that cannot have it refuse it. */
const RELAXED = "AGFzbQEAAAABCAFgA3t7ewF7AwIBAAoNAQsAIAAgASAC/YUCCw==";

async function unpack(packed) {
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

async function open(facts) {
  const relaxed = WebAssembly.validate(bytes(RELAXED));
  const module = await unpack(bytes(take(relaxed ? "relaxed" : "module")));
  const weights = bytes(take("weights"));
  const data = facts.packed ? await unpack(weights) : weights;
  return load(module, { data, runs: facts.runs });
}

const facts = JSON.parse(take("facts"));
const examples = facts.examples.map(({ name, type, text }) => ({
  name,
  blob: new Blob([bytes(text)], { type }),
}));
start(open(facts), facts, examples);

// The same as drive.c for a wasm module, as a page of its users would: no library, no bundler.
import { readFileSync, writeFileSync } from "node:fs";

const [artifact, , what, input, output, width, height] = process.argv.slice(2);
// The one thing that a module asks its host for: nanoseconds, for cf_profile.
const clock_time_get = (_clock, _precision, pointer) => {
  new DataView(net.memory.buffer).setBigUint64(pointer, process.hrtime.bigint(), true);
  return 0;
};
const module = await WebAssembly.instantiate(readFileSync(artifact), {
  wasi_snapshot_preview1: { clock_time_get },
});
const net = module.instance.exports;
net._initialize();

const fail = (words) => {
  console.error(words);
  process.exit(1);
};
const bytes = readFileSync(input);
const source = net.malloc(bytes.length);
const floats = net.cf_output_floats();
const target = net.malloc(4 * floats);
const context = net.cf_create();
if (!source || !target || !context) fail("no memory");
if (net.cf_selftest(context)) fail("self-test failed");
// Looked up now: memory that has grown is another buffer.
new Uint8Array(net.memory.buffer).set(bytes, source);
const status =
  what === "predict"
    ? net.cf_predict(context, source, Number(width), Number(height), target)
    : net.cf_run(context, source, target);
if (status) fail("no result");
writeFileSync(output, new Uint8Array(net.memory.buffer, target, 4 * floats));
net.cf_destroy(context);
net.free(source);
net.free(target);

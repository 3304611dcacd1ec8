/** An ONNX model in onnxruntime-web, on the CPU with one thread. */
export async function prepare(file, x) {
    const ort = await import("/ort.wasm.bundle.min.mjs");
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
    const feeds = { [session.inputNames[0]]: new ort.Tensor("float32", x, [1, 3, 224, 224]) };
    return async () => (await session.run(feeds))[session.outputNames[0]].data;
}

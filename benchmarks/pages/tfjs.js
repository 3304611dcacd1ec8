/**
 * A network in TensorFlow.js's WebAssembly backend, with SIMD, on one thread.
 *
 * The file lists the nodes in order, after batch norms and activations are folded into the
 * convolutions before them: what TensorFlow's converter leaves. Weights are beside it, maps are
 * NHWC, as TensorFlow has them.
 */
const FUSED = { "": "linear", relu: "relu", relu6: "relu6", sigmoid: "sigmoid" };

export async function prepare(file, x) {
    await import("/tf-core.min.js");
    await import("/tf-backend-wasm.min.js");
    tf.wasm.setWasmPaths("/");
    await tf.setBackend("wasm");
    await tf.ready();
    const { nodes, weights } = await (await fetch(file)).json();
    const bytes = await (await fetch(file.replace(".json", ".bin"))).arrayBuffer();
    const constants = weights.map(({ shape, start, length }) =>
        tf.tensor(new Float32Array(bytes, 4 * start, length), shape));
    const image = tf.transpose(tf.tensor(x, [1, 3, 224, 224]), [0, 2, 3, 1]);
    return async () => {
        const result = tf.tidy(() => compute(nodes, constants, image));
        const output = await result.data();
        result.dispose();
        return output;
    };
}

function compute(nodes, constants, image) {
    const values = [image];
    for (const node of nodes)
        values.push(OPS[node.op](node, node.inputs.map((i) => values[i]),
            (node.constants ?? []).map((i) => constants[i])));
    return values.at(-1);
}

/** What a convolution or a product ends with: an addend and an activation. */
function finish(y, addend, activation) {
    if (addend) y = tf.add(y, addend);
    if (activation === "silu") return tf.mul(y, tf.sigmoid(y));
    return addend && activation ? tf[activation](y) : y;
}

const OPS = {
    conv2d({ stride, pad, depthwise, activation }, [x, addend], [filter, bias]) {
        const convolution = depthwise ? tf.fused.depthwiseConv2d : tf.fused.conv2d;
        const fused = addend ? "linear" : FUSED[activation] ?? "linear";
        const y = convolution({ x, filter, bias, strides: stride, pad, activation: fused });
        return finish(y, addend, activation);
    },
    linear: (_node, [a], [b, bias]) => tf.fused.matMul({ a, b, bias }),
    max_pool: ({ kernel, stride, pad }, [x]) => tf.maxPool(x, kernel, stride, pad),
    global_average: (_node, [x]) => tf.mean(x, [1, 2], true),
    reshape: ({ shape }, [x]) => tf.reshape(x, shape),
    mul: (_node, [a, b]) => tf.mul(a, b),
};

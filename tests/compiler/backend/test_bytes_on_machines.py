"""A network of bytes gives the same bits on every machine, and in both modules of a web page."""

from __future__ import annotations

import base64
import shutil
import subprocess
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import HTML_RELAXED, WASM32
from convforge.compiler.ir.graph import Graph, Node
from convforge.compiler.ir.reference import evaluate, evaluate_all
from convforge.compiler.passes.order import WITHOUT_PAIRS, run_passes
from convforge.compiler.passes.quantize import before
from convforge.compiler.pipeline import ByteOptions, compile_graph
from convforge.errors import UnsupportedError

DRIVER = Path(__file__).parent / "machines" / "drive.mjs"
RELAXED = replace(WASM32, levels=HTML_RELAXED.levels)
# The smallest module with a product of bytes: engines without relaxed SIMD refuse it.
PROBE = (
    "Uint8Array.from(atob('AGFzbQEAAAABCAFgA3t7ewF7AwIBAAoNAQsAIAAgASAC/ZMCCw=='), "
    "(letter) => letter.charCodeAt(0))"
)
LOADER = (
    files("convforge.serving").joinpath("page", "classifier.js").read_text().replace("export ", "")
)
RUN = """async ([module, input]) => {
    @LOADER@
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const net = await load(bytes(module));
    const output = new Uint8Array(net.run(new Float32Array(bytes(input).buffer)).buffer);
    return btoa(String.fromCharCode(...output));
}"""
TOP = 127
POINT = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, "groups": 1}
SAME = {**POINT, "padding": (1,) * 4}
RELU, RELU6, SILU = (("relu",),), (("clip", 0.0, 6.0),), (("silu",),)


@pytest.fixture(scope="module")
def browser(chromium):
    """A page of a browser that has relaxed SIMD."""
    page = chromium.new_page()
    if not page.evaluate(f"WebAssembly.validate({PROBE})"):
        pytest.skip("this browser has no relaxed SIMD")
    yield page
    page.close()


@pytest.fixture
def net(draw):
    """Layers of every kind that bytes have, the output one map of them; and what they are on it."""

    def weights(*shape):
        return draw(*shape) * np.float32(np.prod(shape[1:]) ** -0.5)

    def convolution(name, source, shape, attrs, epilogue=(), addend=()):
        constants[f"{name}.w"], constants[f"{name}.b"] = weights(*shape), draw(shape[0])
        names = (source, *addend, f"{name}.w", f"{name}.b")
        op = "conv2d_add" if addend else "conv2d"
        return Node(name, op, names, attrs, epilogue)

    constants: dict[str, object] = {}
    halved, wide = {"stride": (2, 2)}, {"padding": (2,) * 4}
    window = {key: SAME[key] for key in ("stride", "dilation", "padding")}
    nodes = (
        convolution("stem", "x", (24, 3, 3, 3), {**SAME, **halved}, RELU),
        convolution("deep", "stem", (24, 1, 3, 3), {**SAME, "groups": 24}, RELU6),
        convolution("wide", "deep", (70, 24, 1, 1), POINT, SILU),
        convolution("five", "wide", (70, 1, 5, 5), {**SAME, **wide, "groups": 70}, SILU),
        convolution("back", "five", (24, 70, 1, 1), POINT, (), ("deep",)),
        Node("pool", "max_pool", ("back",), {**window, "kernel": (3, 3)}),
        Node("join", "concat", ("back", "pool"), {"axis": 1}),
        convolution("less", "join", (48, 48, 3, 3), {**SAME, **halved}, RELU),
        convolution("thin", "less", (48, 1, 3, 3), {**SAME, **halved, "groups": 48}),
        convolution("last", "thin", (33, 48, 2, 2), POINT),
    )
    return Graph("x", (1, 3, 38, 46), nodes, constants, "last")


def options_of(graph, x):
    """Ranges of what a graph's values are on one input, and of what is looked up."""
    values = evaluate_all(graph, x)
    ranges = {name: (float(v.min()), float(v.max())) for name, v in values.items()}
    ranges |= {before(node.name): (-4.0, 4.0) for node in graph.nodes}
    return ByteOptions(ranges, top=TOP)


def compiled_for(target, net, x, **options):
    """A module, and the bits that it has to give."""
    graph, seen = run_passes(net, WITHOUT_PAIRS), {}
    compiled = compile_graph(
        net,
        target=target,
        options=options_of(graph, x),
        observe=lambda step, made: seen.update({step: made}),
        **options,
    )
    expected = evaluate(seen["quantize"], x)
    assert {"conv2d_add_int8", "concat_int8"} <= {node.op for node in seen["quantize"].nodes}
    assert len(np.unique(expected)) > 100
    return compiled.library, expected.reshape(-1)


@pytest.mark.skipif(not shutil.which("node"), reason="no node")
def test_a_module_gives_the_bits_of_the_reference(net, draw, tmp_path):
    x = draw(*net.input_shape)
    module, expected = compiled_for(WASM32, net, x)
    save_artifact(module, tmp_path / "net.wasm")
    (tmp_path / "input").write_bytes(x.tobytes())
    command = ["node", DRIVER, "net.wasm", "", "run", "input", "output"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.fromfile(tmp_path / "output", np.float32), expected)


@pytest.mark.parametrize("flags", [(), ("-DCF_DOT=1",), ("-DCF_DOT=0",)])
def test_every_way_to_products_of_bytes_gives_the_same_bits(net, draw, browser, flags):
    x = draw(*net.input_shape)
    module, expected = compiled_for(RELAXED, net, x, flags=flags)
    texts = [base64.b64encode(content).decode() for content in (module, x.tobytes())]
    found = browser.evaluate(RUN.replace("@LOADER@", LOADER), texts)
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(found), np.float32), expected)


def test_bytes_of_eight_bits_are_refused(net, draw):
    options = replace(options_of(net, draw(*net.input_shape)), top=255)
    with pytest.raises(UnsupportedError, match="target wasm32 has bytes from 0 to 127, and these"):
        compile_graph(net, target=WASM32, options=options)

"""Tiles of pixels that WebAssembly alone has: rows of every width, in both modules of a page."""

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
from convforge.compiler.ir.reference import evaluate_all
from convforge.compiler.pipeline import compile_graph

DRIVER = Path(__file__).parent / "machines" / "drive.mjs"
RELAXED = replace(WASM32, levels=HTML_RELAXED.levels)
# The smallest module with a relaxed multiply-add: engines without refuse it.
PROBE = bytes.fromhex("0061736d0100000001080160037b7b7b017b030201000a0d010b00200020012002fd85020b")
LOADER = (
    files("convforge.serving").joinpath("page", "classifier.js").read_text().replace("export ", "")
)
RUN = """async ([module, input, probe]) => {
    @LOADER@
    const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    if (!WebAssembly.validate(bytes(probe))) return null;
    const net = await load(bytes(module));
    const output = Array.from(net.run(new Float32Array(bytes(input).buffer)));
    return { output, kernels: net.layers.map((layer) => layer.kernel) };
}"""
POINT = {"stride": (1, 1), "dilation": (1, 1), "padding": (0,) * 4, "groups": 1}
RELU6, SILU = (("clip", 0.0, 6.0),), (("silu",),)
# Channels, those between, height and width, stride and dilation of the filters, what is in between:
# rows shorter than a tile and than a row of filters takes at once, such that tiles go over their
# ends, and long ones that are taken in parts.
CASES = (
    (16, 33, (5, 3), 1, 1, RELU6),
    (70, 16, (4, 5), 1, 1, ()),
    (80, 48, (7, 7), 1, 1, RELU6),
    (64, 32, (14, 14), 2, 1, SILU),
    (32, 17, (6, 16), 1, 1, RELU6),
    (24, 40, (9, 17), 2, 1, RELU6),
    (16, 16, (3, 71), 1, 1, SILU),
    (5, 16, (5, 131), 2, 1, RELU6),
    (16, 16, (9, 10), 1, 2, RELU6),
    (16, 32, (1, 1), 1, 1, ()),
)


@pytest.fixture
def net(draw):
    """Of every case a pair, and a pointwise convolution with an addend; all results in one row."""
    constants, nodes, parts, start = {}, [], [], 0

    def convolution(name, source, shape, attrs, epilogue=()):
        constants[f"{name}.w"] = draw(*shape) * np.float32(np.prod(shape[1:]) ** -0.5)
        constants[f"{name}.b"] = draw(shape[0])
        nodes.append(Node(name, "conv2d", (source, f"{name}.w", f"{name}.b"), attrs, epilogue))

    for i, (channels, wide, size, stride, dilation, between) in enumerate(CASES):
        length = int(np.prod(size))
        window = {"axis": 1, "start": start, "stop": start + length, "step": 1}
        nodes.append(Node(f"part{i}", "slice", ("x",), window))
        nodes.append(Node(f"image{i}", "reshape", (f"part{i}",), {"shape": (1, 1, *size)}))
        convolution(f"first{i}", f"image{i}", (channels, 1, 1, 1), POINT)
        convolution(f"mix{i}", f"first{i}", (wide, channels, 1, 1), POINT, between)
        attrs = {"stride": (stride,) * 2, "dilation": (dilation,) * 2, "groups": wide}
        attrs["padding"] = (dilation,) * 4
        convolution(f"filters{i}", f"mix{i}", (wide, 1, 3, 3), attrs, RELU6)
        convolution(f"more{i}", f"first{i}", (channels, channels, 1, 1), POINT)
        nodes.append(Node(f"sum{i}", "add", (f"more{i}", f"first{i}"), {}, between))
        out = [(side - 1) // stride + 1 for side in size]
        for name, made in ((f"filters{i}", (wide, *out)), (f"sum{i}", (channels, *size))):
            parts.append(f"row.{name}")
            nodes.append(Node(parts[-1], "reshape", (name,), {"shape": (1, int(np.prod(made)))}))
        start += length
    nodes.append(Node("all", "concat", tuple(parts), {"axis": 1}))
    return Graph("x", (1, start), tuple(nodes), constants, "all")


def assert_close(found, graph, x):
    """Every case by its own largest number, against the meaning in float64."""
    values, start = evaluate_all(graph, x.astype(np.float64)), 0
    for name in graph.nodes[-1].inputs:
        expected = values[name].ravel()
        part = found[start : start + expected.size]
        start += expected.size
        assert np.abs(part - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max()), name
    assert start == found.size


@pytest.mark.skipif(not shutil.which("node"), reason="no node")
def test_rows_of_every_width(net, draw, tmp_path):
    x = draw(*net.input_shape)
    save_artifact(compile_graph(net, target=WASM32).library, tmp_path / "net.wasm")
    (tmp_path / "input").write_bytes(x.tobytes())
    command = ["node", DRIVER, "net.wasm", "", "run", "input", "output"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_close(np.fromfile(tmp_path / "output", np.float32), net, x)


def test_rows_of_every_width_with_relaxed_simd(net, draw, chromium):
    x, page = draw(*net.input_shape), chromium.new_page()
    module = compile_graph(net, target=RELAXED).library
    texts = [base64.b64encode(content).decode() for content in (module, x.tobytes(), PROBE)]
    found = page.evaluate(RUN.replace("@LOADER@", LOADER), texts)
    page.close()
    if found is None:
        pytest.skip("this browser has no relaxed SIMD")
    assert found["kernels"].count("conv_pair") == len(CASES)
    assert_close(np.float32(found["output"]), net, x)

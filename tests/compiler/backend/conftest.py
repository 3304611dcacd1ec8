from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from convforge.card import Card
from convforge.compiler.backend.target import C_SOURCES, native
from convforge.compiler.ir.graph import Graph, Node
from convforge.compiler.ir.ops import EPILOGUES, OPS
from convforge.compiler.pipeline import compile_graph
from convforge.images.preprocess import Preprocess

if TYPE_CHECKING:
    from convforge.compiler.backend.toolchain import Built

ALL_STEPS = (
    *(("affine", 0.5, 0.25), ("leaky_relu", 0.1), ("silu",), ("tanh",), ("hard_swish",)),
    *(("sigmoid",), ("hard_sigmoid",), ("clip", 0.0, 0.75), ("relu",)),
    *(("gelu",), ("gelu_tanh",), ("elu", 0.5), ("softplus",), ("mish",), ("exp",), ("log",)),
    *(("abs",), ("sqrt",), ("erf",), ("affine", 1.0, 0.5), ("reciprocal",)),
)


@pytest.fixture(scope="session")
def zoo() -> Graph:
    """One graph with every operation, every step of an epilogue and every shape of convolution."""
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, np.float32) / np.float32(np.prod(shape[1:]) ** 0.5)

    def window(padding: int = 0, stride: int = 1, **more: object) -> dict[str, object]:
        attrs = {"stride": (stride, stride), "dilation": (1, 1), "padding": (padding,) * 4}
        return {**attrs, **more}

    no_border = {"padding": (0, 0, 0, 0)}  # nothing above, left, below, right
    places = {"rows": (0, 0, 1, 2), "columns": (0, 1, 2, 2)}
    statistics = ("gamma", "beta", "mean", "variance")
    constants = {name: draw(16) for name in statistics} | {
        "variance": draw(16) ** 2 + np.float32(0.5),
        "w.stem": draw(16, 3, 3, 3),
        "w.wide": draw(32, 16, 3, 3),
        "b.wide": draw(32),
        "w.depthwise": draw(32, 1, 3, 3),
        "w.point": draw(16, 32, 1, 1),
        "w.squeeze": draw(16, 16, 1, 1),
        "scale": draw(16),
        "shift": draw(16),
        "w.first": draw(17, 33, 1, 1),
        "slope": draw(17),
        "below": np.float32([0.25, 0.75, 0.0, 0.5]),
        "right": np.float32([0.0, 0.5, 0.25, 1.0]),
        "w.fc": draw(12, 144),
        "codes": draw(5, 12),
        "w.mix": draw(32, 32, 1, 1),
        "w.filter": draw(32, 1, 3, 3),
    }
    nodes = (
        Node("zeros", "pad", ("x",), {"padding": (0, 0, 1, 1), "channels": (0, 0), "fill": 0.0}),
        Node("stem", "conv2d", ("zeros", "w.stem"), window(1, 2, groups=1)),
        Node("norm", "batch_norm", ("stem", *statistics), {"eps": 1e-5}, (("relu",),)),
        Node("lrn", "lrn", ("norm",), {"size": 5, "alpha": 0.1, "beta": 0.75, "k": 2.0}),
        Node("wide", "conv2d", ("lrn", "w.wide", "b.wide"), window(1, groups=1), (("relu",),)),
        Node("depthwise", "conv2d", ("wide", "w.depthwise"), window(1, groups=32)),
        Node(
            *("pair", "conv2d_pair", ("depthwise", "w.mix", "b.wide", "w.filter", "b.wide")),
            {**window(1), "mix_stride": (1, 1), "mix_dilation": (1, 1), "mix_padding": (0,) * 4},
            between=(("clip", -1.0, 1.0),),
        ),
        Node("point", "conv2d", ("pair", "w.point"), window(groups=1)),
        Node("pooled", "avg_pool", ("point",), window(kernel=(7, 7), counted=(0,) * 4)),
        Node("gate", "conv2d", ("pooled", "w.squeeze"), window(groups=1), (("sigmoid",),)),
        Node("gated", "mul", ("point", "gate")),
        Node("more", "conv2d_add", ("norm", "gated", "w.squeeze"), window(groups=1)),
        Node("sum", "add", ("more", "norm")),
        Node("shifted", "scale_shift", ("sum", "scale", "shift")),
        Node("steps", "elementwise", ("shifted",), {}, ALL_STEPS),
        Node("largest", "max_pool", ("steps",), window(1, 2, kernel=(3, 3))),
        Node("average", "avg_pool", ("sum",), window(1, 2, kernel=(3, 3), counted=(0,) * 4)),
        Node("border", "pad", ("average",), {**no_border, "channels": (0, 1), "fill": -1.0}),
        Node("joined", "concat", ("largest", "border"), {"axis": 1}),
        Node("first", "conv2d", ("joined", "w.first"), window(groups=1)),
        Node("prelu", "prelu", ("first", "slope")),
        Node("normed", "layer_norm", ("prelu", "slope", "slope"), {"axis": 1, "eps": 1e-6}),
        Node("uneven", "adaptive_avg_pool", ("normed",), {"size": (3, 3)}),
        Node("peaks", "adaptive_max_pool", ("normed",), {"size": (2, 3)}),
        Node("nearest", "upsample_nearest", ("uneven",), places),
        Node(
            "between",
            "upsample_bilinear",
            ("peaks", "below", "right"),
            {**places, "rows": (0, 0, 1, 1)},
        ),
        Node("difference", "sub", ("nearest", "between")),
        Node("shares", "softmax", ("difference",), {"axis": 1}),
        Node("level", "mean", ("shares",), {"axes": (2, 3)}),
        Node("quotient", "div", ("shares", "level")),
        Node("turned", "transpose", ("quotient",), {"perm": (0, 2, 3, 1)}),
        Node("every", "slice", ("turned",), {"axis": 3, "start": 0, "stop": 17, "step": 2}),
        Node("flat", "reshape", ("every",), {"shape": (1, 144)}),
        Node("fc", "linear", ("flat", "w.fc"), {}, (("tanh",),)),
        Node("rbf", "rbf", ("fc", "codes")),
    )
    # but for those on bytes, which follow from a network's own values (test_search.py)
    ours = {op for op in OPS if op not in {"quantize", "dequantize"} and "int8" not in op}
    assert {node.op for node in nodes} == ours
    assert {step[0] for step in ALL_STEPS} == set(EPILOGUES)
    return Graph("x", (1, 3, 12, 12), nodes, constants, "rbf")


@pytest.fixture
def only(monkeypatch, tmp_path):
    """Leaves no program on PATH but scripts of these names, which say what they are told."""

    def leave(**scripts):
        for name, text in scripts.items():
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CC", raising=False)

    return leave


@pytest.fixture(scope="session")
def small() -> Graph:
    """A network of few layers, which compiles fast: [1, 3, 12, 12] to [1, 5]."""
    generator = np.random.default_rng(0)
    constants = {
        name: generator.standard_normal(shape, np.float32) / 8
        for name, shape in {"stem": (20, 3, 3, 3), "point": (7, 20, 1, 1), "fc": (5, 252)}.items()
    }
    window = {"stride": (1, 1), "dilation": (1, 1), "padding": (1, 1, 1, 1)}
    halves = {"stride": (2, 2), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
    nodes = (
        Node("conv", "conv2d", ("x", "stem"), {**window, "groups": 1}, (("relu",),)),
        Node("pool", "max_pool", ("conv",), {**halves, "kernel": (2, 2)}),
        Node("mix", "conv2d", ("pool", "point"), {**halves, "stride": (1, 1), "groups": 1}),
        Node("flat", "reshape", ("mix",), {"shape": (1, 252)}),
        Node("head", "linear", ("flat", "fc")),
    )
    return Graph("x", (1, 3, 12, 12), nodes, constants, "head")


@pytest.fixture(scope="session")
def compiled_small(small: Graph) -> tuple[dict[str, bytes], Card, Built]:
    """Its sources for any machine, a card for it, and its library for this one."""
    preprocess = Preprocess(resize=14, crop=(12, 12), mean=(120.0,) * 3, std=(60.0,) * 3)
    card = Card(network="small", arguments={}, classes=tuple("abcde"), preprocess=preprocess)
    built = compile_graph(small, card=card, target=native()).built
    assert built is not None
    return compile_graph(small, card=card, target=C_SOURCES).sources, card, built

"""Whole artifacts: the same answer as torch, and networks whose ends are out of the ordinary.

That the C is free of warnings, clean under sanitizers and the same bytes each time is held on a
network of every operation, in backend/.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import for_precision, native
from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.reference import evaluate
from convforge.compiler.ir.reference_bf16 import evaluate_bf16
from convforge.compiler.passes.assign_layouts import ANY, assign_layouts, rounded
from convforge.compiler.passes.order import WITHOUT_PAIRS, run_passes
from convforge.compiler.pipeline import compile_graph
from convforge.errors import UnsupportedError
from convforge.networks.catalog import create
from convforge.runtime import Runtime


def prepared(name: str, **arguments: object) -> nn.Module:
    """A network with random weights and random, not neutral, BatchNorm statistics."""
    torch.manual_seed(0)
    net = create(name, **arguments).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    return net


def compiled(net, make_card, *, target):
    card = make_card([str(k) for k in range(net.num_classes)], shape=net.input_shape)
    return compile_graph(from_torch(net, net.input_shape), card=card, target=target)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("lenet5", 32),
        ("lenet5_relu", 35),
        ("resnet20", 32),
    ],
)
def test_an_artifact_computes_what_torch_does_in_float64(tmp_path, make_card, name, size):
    net = prepared(name, input_size=size)
    path = tmp_path / "net.so"
    save_artifact(compiled(net, make_card, target=native()).library, path)
    x = torch.randn(2, *net.input_shape)
    with torch.no_grad():
        truth = net.double()(x.double()).numpy()
    levels = [level.name for level in native().levels]
    best = levels.index(Runtime(path).level)
    for level in levels[best:]:  # the CPU has this one and those after it
        found = Runtime(path, level=level).logits(x.numpy())
        assert np.abs(found - truth).max() <= 1e-5 * np.abs(truth).max(), level


def test_the_plan_reaches_its_lower_bound_on_a_chain(make_card, baseline):
    built = compiled(prepared("lenet5_relu"), make_card, target=baseline)
    assert built.arena_bytes == built.arena_lower_bound
    assert built.weight_bytes >= 4 * 61_706


def step(name, source, *steps):
    return Node(name, "elementwise", (source,), {}, steps)


def flat(name, source, *shape):
    return Node(name, "reshape", (source,), {"shape": shape})


FLAT = flat("flat", "x", 1, 6)
COLOURS = flat("flat", "x", 1, 3)
ENDS = {
    "the input itself, flattened": (FLAT,),
    "a flattened layer": (step("a", "x", ("relu",)), flat("b", "a", 1, 6)),
    "a value that is read again, by nobody that counts": (
        FLAT,
        step("out", "flat", ("tanh",)),
        Node("more", "add", ("out", "out")),
    ),
    "flattened twice over, and read by both": (
        step("a", "x", ("relu",)),
        flat("b", "a", 1, 6),
        flat("c", "a", 1, 6),
        Node("out", "add", ("b", "c")),
    ),
    "the input and what came of it": (
        FLAT,
        step("a", "flat", ("sigmoid",)),
        step("b", "a", ("affine", 2.0, -1.0)),
        Node("c", "mul", ("b", "flat")),
        Node("out", "add", ("c", "a")),
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_network_may_end_in(make_graph, make_card, open_compiled, draw, name):
    nodes = ENDS[name]
    output = "out" if any(node.name == "out" for node in nodes) else nodes[-1].name
    graph = make_graph(*nodes, shape=(1, 1, 2, 3), output=output)
    runtime = open_compiled(graph, make_card("abcdef", shape=(1, 2, 3)))
    x = draw(3, 1, 2, 3)
    expected = [evaluate(graph, image[None])[0] for image in x]
    np.testing.assert_allclose(runtime.logits(x), expected, rtol=1e-6, atol=1e-7)


def test_a_prediction_of_the_flattened_input_is_its_softmax(make_graph, make_card, open_compiled):
    runtime = open_compiled(
        make_graph(COLOURS, shape=(1, 3, 1, 1)), make_card("rgb", shape=(3, 1, 1))
    )
    image = np.array([[[200, 100, 50]]], np.uint8)
    logits = (np.array([200, 100, 50]) - 100) / 50
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(runtime.probabilities([image]), [expected], rtol=1e-6)


def test_logits_in_the_thousands_give_probabilities_too(make_graph, make_card, open_compiled):
    card = make_card("rgb", shape=(3, 1, 1))
    card = replace(card, preprocess=replace(card.preprocess, std=(0.05,) * 3))
    runtime = open_compiled(make_graph(COLOURS, shape=(1, 3, 1, 1)), card)
    pixels = [np.array([[colour]], np.uint8) for colour in ((255, 0, 254), (0, 0, 0))]
    expected = [[1, 0, np.exp(-20)], [1 / 3] * 3]
    np.testing.assert_allclose(runtime.probabilities(pixels), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("classes", "shape", "words"),
    [
        ("ab", (3, 1, 1), r"gives \[1, 3\], expected one logit for each .* 2 classes: \[1, 2\]"),
        ("abcd", (3, 1, 1), r"gives \[1, 3\], expected one logit for each .* 4 classes"),
        ("abc", (3, 1, 2), r"takes \[1, 3, 1, 1\], the card's preprocessing gives \[1, 3, 1, 2\]"),
    ],
)
def test_a_card_of_another_network_is_refused(
    make_graph, make_card, baseline, classes, shape, words
):
    graph = make_graph(COLOURS, shape=(1, 3, 1, 1))
    with pytest.raises(UnsupportedError, match=words):
        compile_graph(graph, card=make_card(classes, shape=shape), target=baseline)


def test_maps_are_no_logits(make_graph, make_card, baseline):
    graph = make_graph(step("relu", "x", ("relu",)), shape=(1, 3, 1, 1))
    with pytest.raises(UnsupportedError, match=r"gives \[1, 3, 1, 1\], expected one logit"):
        compile_graph(graph, card=make_card("abc", shape=(3, 1, 1)), target=baseline)


def settled(name, size, draw):
    """A network with statistics that are those of its inputs, as if it were trained."""
    torch.manual_seed(0)
    net = create(name, input_size=size)
    images = torch.from_numpy(draw(8, *net.input_shape))
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        net.train()(images)
    return net.eval()


def share(off, truth):
    return float(np.sqrt(np.mean(off**2) / np.mean(truth**2)))


@pytest.mark.parametrize(
    ("name", "size", "kernels"),
    [
        ("lenet5_relu", 32, {"conv_bf16", "linear_bf16", "maps_bf16"}),
        pytest.param("resnet20", 32, {"conv_bf16"}, marks=pytest.mark.slow),
        pytest.param(
            *("mobilenet_v2", 64, {"conv_bf16", "depthwise_bf16"}), marks=pytest.mark.slow
        ),
        pytest.param("resnet18", 64, {"conv_bf16", "maps_bf16"}, marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", 64, {"conv_bf16", "maps_bf16"}, marks=pytest.mark.slow),
        pytest.param("googlenet_bn", 64, {"conv_bf16", "maps_bf16"}, marks=pytest.mark.slow),
    ],
)
def test_a_network_of_bf16_is_off_by_what_its_roundings_cost(
    open_compiled, draw, name, size, kernels
):
    net = settled(name, size, draw)
    graph = from_torch(net, net.input_shape)
    runtime = open_compiled(graph, target=for_precision(native(), "bf16"), precision="bf16")
    runtime.selftest()
    assert {layer.kernel for layer in runtime.layers} >= kernels
    x = draw(1, *net.input_shape)
    with torch.no_grad():
        truth = net(torch.from_numpy(x)).numpy()
    laid_out, layouts = assign_layouts(run_passes(graph, WITHOUT_PAIRS), ANY)
    meant = evaluate_bf16(laid_out, x, rounded(layouts))
    cost = share(meant - truth, truth)
    assert 0 < cost < 0.25
    assert share(runtime.run(x) - truth, truth) < 2 * cost + 1e-3

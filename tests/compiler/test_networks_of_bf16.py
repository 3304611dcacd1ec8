"""Whole networks of bfloat16: as near to torch as their roundings allow, at the best level here.

Weights are random and BatchNorm's statistics those of the inputs, as if it were trained; such
networks magnify every rounding, so the measure is what rounding costs in numpy.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from convforge.compiler.backend.target import for_precision, native
from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.ir.reference_bf16 import evaluate_bf16
from convforge.compiler.passes.assign_layouts import ANY, assign_layouts, rounded
from convforge.compiler.passes.order import WITHOUT_PAIRS, run_passes
from convforge.networks.catalog import create

TARGET = for_precision(native(), "bf16")


def settled(name, size, draw):
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
def test_a_network_is_off_by_what_its_roundings_cost(open_compiled, draw, name, size, kernels):
    net = settled(name, size, draw)
    graph = from_torch(net, net.input_shape)
    runtime = open_compiled(graph, target=TARGET, precision="bf16")
    runtime.selftest()
    assert {layer.kernel for layer in runtime.layers} >= kernels
    x = draw(1, *net.input_shape)
    with torch.no_grad():
        truth = net(torch.from_numpy(x)).numpy()
    laid_out, layouts = assign_layouts(run_passes(graph, WITHOUT_PAIRS), ANY)
    meant = evaluate_bf16(laid_out, x, rounded(layouts))
    cost = share(meant - truth, truth)
    assert 0 < cost < 0.12
    assert share(runtime.run(x) - truth, truth) < 2 * cost + 1e-3

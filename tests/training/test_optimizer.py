"""The update against its formula in numpy; decay on weights and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from convforge.networks.catalog import create
from convforge.training.optimizer import build_optimizer, set_rate
from convforge.training.recipe import Recipe


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_three_steps_are_those_of_the_formula(momentum):
    torch.manual_seed(0)
    layer = nn.Linear(3, 2).double()
    recipe = Recipe(momentum=momentum, weight_decay=0.01)
    optimizer = build_optimizer(layer, recipe)
    w, b = (p.detach().numpy().copy() for p in (layer.weight, layer.bias))
    velocity_w, velocity_b = np.zeros_like(w), np.zeros_like(b)
    for rate in (0.1, 0.5, 0.2):
        set_rate(optimizer, rate)
        optimizer.zero_grad()
        (layer.weight.sin().sum() + (layer.bias**3).sum()).backward()
        optimizer.step()
        gradient_w, gradient_b = np.cos(w) + 0.01 * w, 3 * b**2
        velocity_w = momentum * velocity_w + gradient_w
        velocity_b = momentum * velocity_b + gradient_b
        w = w - rate * (gradient_w + momentum * velocity_w)
        b = b - rate * (gradient_b + momentum * velocity_b)
        np.testing.assert_allclose(layer.weight.detach().numpy(), w, rtol=1e-12)
        np.testing.assert_allclose(layer.bias.detach().numpy(), b, rtol=1e-12)


@pytest.mark.parametrize("network", ["lenet5", "lenet5_relu"])
def test_every_trainable_parameter_is_in_one_group_and_weights_alone_decay(network):
    net = create(network)
    groups = build_optimizer(net, Recipe(weight_decay=0.25)).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(decay) == sum(len(group["params"]) for group in groups)
    for name, parameter in net.named_parameters():
        is_weight = name.endswith("weight")
        assert decay[id(parameter)] == (0.25 if is_weight else 0), name


def test_frozen_parameters_are_left_out():
    net = create("lenet5_relu")
    for parameter in net.features.parameters():
        parameter.requires_grad = False
    groups = build_optimizer(net, Recipe()).param_groups
    held = {id(p) for group in groups for p in group["params"]}
    assert held == {id(p) for p in net.head.parameters()}

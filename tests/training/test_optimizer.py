"""The updates against their formulas; decay on weights alone; rates by layer."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn

from convforge.networks.catalog import create
from convforge.networks.contract import ConvNet
from convforge.training.muon import Muon
from convforge.training.optimizer import build_optimizers, layer_scales, set_rate
from convforge.training.recipe import CHOICES, Recipe


def linear():
    """A network of one linear layer in float64."""
    torch.manual_seed(0)
    return ConvNet(nn.Sequential(nn.Identity()), nn.Sequential(nn.Linear(3, 2).double()))


def groups(net, recipe):
    optimizers = build_optimizers(net, recipe)
    return list(chain.from_iterable(optimizer.param_groups for optimizer in optimizers))


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_three_steps_of_sgd_are_those_of_the_formula(optimizer, momentum):
    net = linear()
    layer = net.head[0]
    recipe = Recipe(optimizer=optimizer, momentum=momentum, weight_decay=0.01)
    (built,) = build_optimizers(net, recipe)
    w, b = (p.detach().numpy().copy() for p in (layer.weight, layer.bias))
    velocity_w, velocity_b = np.zeros_like(w), np.zeros_like(b)
    ahead = 1 if optimizer == "sgd" and momentum else 0
    for rate in (0.1, 0.5, 0.2):
        set_rate([built], rate)
        built.zero_grad()
        (layer.weight.sin().sum() + (layer.bias**3).sum()).backward()
        built.step()
        gradient_w, gradient_b = np.cos(w) + 0.01 * w, 3 * b**2
        velocity_w = momentum * velocity_w + gradient_w
        velocity_b = momentum * velocity_b + gradient_b
        if ahead:
            w = w - rate * (gradient_w + momentum * velocity_w)
            b = b - rate * (gradient_b + momentum * velocity_b)
        else:
            w, b = w - rate * velocity_w, b - rate * velocity_b
        np.testing.assert_allclose(layer.weight.detach().numpy(), w, rtol=1e-12)
        np.testing.assert_allclose(layer.bias.detach().numpy(), b, rtol=1e-12)


def test_the_first_step_of_adamw_is_the_sign_of_the_gradient_and_decay_apart_from_it():
    net = linear()
    start = net.head[0].weight.detach().clone()
    (built,) = build_optimizers(net, Recipe(optimizer="adamw", weight_decay=0.01))
    set_rate([built], 0.1)
    (-net.head[0].weight.sum()).backward()
    built.step()
    torch.testing.assert_close(net.head[0].weight.detach(), start * (1 - 0.1 * 0.01) + 0.1)


def test_the_first_step_of_rmsprop_divides_by_the_root_of_a_tenth_of_the_square():
    net = linear()
    start = net.head[0].bias.detach().clone()
    (built,) = build_optimizers(net, Recipe(optimizer="rmsprop", momentum=0.9))
    set_rate([built], 0.1)
    (-2 * net.head[0].bias.sum()).backward()
    built.step()
    expected = start + 0.1 * 2 / (np.sqrt(0.1 * 4) + 1e-3)
    torch.testing.assert_close(net.head[0].bias.detach(), expected)


@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
@pytest.mark.parametrize("network", ["lenet5", "lenet5_relu", "resnet20", "googlenet_bn"])
def test_every_parameter_is_in_one_group_and_weights_alone_decay(network, optimizer):
    net = create(network)
    found = groups(net, Recipe(weight_decay=0.25, optimizer=optimizer))
    decay = {id(p): group["weight_decay"] for group in found for p in group["params"]}
    assert len(decay) == sum(len(group["params"]) for group in found)
    assert set(decay) == {id(p) for p in net.parameters()}
    for name, parameter in net.named_parameters():
        is_weight = parameter.ndim > 1 and parameter[0].numel() > 1
        assert decay[id(parameter)] == (0.25 if is_weight else 0), name
        assert is_weight == (name.endswith("weight") and parameter.ndim > 1), name


def test_muon_is_for_hidden_weights_and_sgd_for_the_rest_at_a_third_of_the_rate():
    net = create("googlenet_bn")
    recipe = Recipe(optimizer="muon")
    muon, rest = build_optimizers(net, recipe)
    assert isinstance(muon, Muon)
    hidden = {id(p) for group in muon.param_groups for p in group["params"]}
    last = [list(head.parameters())[-2] for head in net.heads()]
    assert not hidden & {id(p) for p in last}
    first = next(net.features.parameters())
    assert first.ndim == 4
    assert id(first) in hidden
    set_rate((muon, rest), 0.3)
    assert {group["lr"] for group in muon.param_groups} == {0.3}
    assert {round(group["lr"], 12) for group in rest.param_groups} == {0.1}


def test_frozen_parameters_are_left_out():
    net = create("lenet5_relu")
    for parameter in net.features.parameters():
        parameter.requires_grad = False
    held = {id(p) for group in groups(net, Recipe()) for p in group["params"]}
    assert held == {id(p) for p in net.head.parameters()}


def test_rates_fall_layer_by_layer_from_the_output_to_the_input():
    net = create("lenet5_relu")
    children = list(net.features.children())
    scales = layer_scales(net, decay=0.5)
    for distance, child in enumerate(reversed(children), 1):
        assert {scales[id(p)] for p in child.parameters()} <= {0.5**distance}
    optimizers = build_optimizers(net, Recipe(layer_decay=0.5))
    set_rate(optimizers, 1.0)
    rates = {id(p): group["lr"] for group in optimizers[0].param_groups for p in group["params"]}
    assert {rates[id(p)] for p in net.head.parameters()} == {1.0}
    assert {rates[id(p)] for p in children[0].parameters()} == {0.5 ** len(children)}

from __future__ import annotations

import pytest
import torch
from torch import nn

from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.ir.printer import print_graph
from convforge.errors import UnsupportedError
from convforge.networks.catalog import create


def randomized(module):
    """The module with BatchNorm statistics, weights and shifts that all differ from 1 and 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.2, generator=generator)
                layer.running_var.uniform_(0.5, 1.5, generator=generator)
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.normal_(0, 0.2, generator=generator)
    return module


@pytest.mark.parametrize("name", ["lenet5", "lenet5_relu", "resnet20"])
def test_networks_of_the_catalogue_mean_what_torch_computes(read, name):
    net = randomized(create(name))
    graph = read(net, net.input_shape, error=1e-6 if name == "lenet5" else 1e-12)
    assert graph.shapes[graph.output] == (1, net.num_classes)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("alexnet", 224, marks=pytest.mark.slow),
        ("resnet18", 64),
        ("mobilenet_v2", 64),
        ("efficientnet_b0", 64),
        pytest.param("googlenet", 64, marks=pytest.mark.slow),
    ],
)
def test_networks_of_torchvision_mean_what_torch_computes(read, name, size):
    from torchvision import models

    torch.manual_seed(0)
    extra = {"init_weights": False} if name == "googlenet" else {}
    read(randomized(getattr(models, name)(weights=None, **extra)), (3, size, size))


def test_the_graph_of_lenet5_relu_reads_like_the_network(golden):
    net = create("lenet5_relu")
    golden("lenet5_relu", print_graph(from_torch(net, net.input_shape)))


def test_values_are_named_after_their_layers_and_constants_after_their_parameters():
    net = create("lenet5_relu")
    graph = from_torch(net, net.input_shape)
    layers = {name for name, _ in net.named_modules()}
    assert {node.name for node in graph.nodes} <= layers
    assert set(graph.constants) == {name for name, _ in net.named_parameters()}


def test_a_layer_that_is_used_twice_gives_two_names():
    relu = nn.ReLU()
    graph = from_torch(nn.Sequential(relu, nn.Conv2d(3, 3, 1), relu), (3, 4, 4))
    assert [node.name for node in graph.nodes] == ["0", "1", "2"]
    twice = nn.ModuleDict({"relu": relu})
    twice.forward = lambda x: twice["relu"](twice["relu"](x) * 2)
    assert [node.name for node in from_torch(twice, (3, 4, 4)).nodes] == ["relu", "mul", "relu:2"]


def test_the_module_is_left_as_it_was():
    net = create("resnet20").train()
    net.features[1].eval()
    modes = {name: module.training for name, module in net.named_modules()}
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    from_torch(net, net.input_shape)
    assert {name: module.training for name, module in net.named_modules()} == modes
    assert {True, False} == set(modes.values())
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


def test_the_module_is_left_as_it_was_where_it_is_refused():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardshrink()).train()
    with pytest.raises(UnsupportedError):
        from_torch(module, (3, 8, 8))
    with pytest.raises(UnsupportedError):
        from_torch(module, (5, 8, 8))
    assert module.training
    assert module[1].training


class Both(nn.Module):
    def forward(self, x, y):
        return x + y


class Choice(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class Pair(nn.Module):
    def forward(self, x):
        return x * 2, x * 3


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        self.count += 1
        return x * self.count


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("c", torch.ones(1, 3))

    def forward(self, x):
        return self.c * 2


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(16, 4)

    def forward(self, x):
        return self.gru(x.flatten(2).transpose(1, 2))[0]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (Both, r"Both: torch.export could not trace it.*\(3, 4, 4\).*'y'.*takes one image"),
        (Choice, "Choice: torch.export could not trace it.*the same whatever its values"),
        (Pair, "the model has 1 inputs and 2 outputs; one image in, one tensor"),
        (Counter, "the model changes 'count' while it runs"),
        (lambda: nn.ReLU(inplace=True), "the model changes '.*' while it runs"),
        (Constant, "output mul does not depend on the image"),
        (Recurrent, "Recurrent: torch.export could not|aten.gru.* is not supported"),
        (lambda: nn.Conv2d(4, 2, 1), r"Conv2d: .*could not trace it with an input of \(3, 4, 4\)"),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 2, 1).half()),
            r"parameter '0.weight' is torch.float16; torch.float32 is supported: call `.float\(\)`",
        ),
        (lambda: nn.Conv2d(3, 2, 1).double(), "parameter 'weight' is torch.float64"),
    ],
)
def test_what_is_no_function_of_one_image_is_refused(build, words):
    with pytest.raises(UnsupportedError, match=words):
        from_torch(build(), (3, 4, 4))

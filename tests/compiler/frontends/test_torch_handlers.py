"""Every operation that the front end knows, one small module each, against torch in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convforge.compiler.frontends.torch import from_torch
from convforge.compiler.frontends.torch_handlers import HANDLERS
from convforge.errors import UnsupportedError
from convforge.networks.blocks import LocalResponseNorm


class Call(nn.Module):
    """A function of (module, image) as a module; tensors are its buffers, modules its layers."""

    def __init__(self, function, **held):
        super().__init__()
        self.function = function
        for name, value in held.items():
            if isinstance(value, torch.Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, x):
        return self.function(self, x)


def normalised(norm):
    generator = torch.Generator().manual_seed(0)
    norm.running_mean.normal_(generator=generator)
    norm.running_var.uniform_(0.5, 2.0, generator=generator)
    return norm


def vector(length):
    return nn.Sequential(nn.Flatten(), nn.Linear(4 * 9 * 8, length))


CHANNEL = torch.tensor([0.5, -1.0, 2.0, 3.0]).reshape(4, 1, 1)

# What a network may do, in chains: one export is worth a dozen. Each row is a layer and the
# operations that it becomes.
CONVOLUTIONS = (
    (lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2), "conv2d"),
    (lambda: nn.Conv2d(6, 4, 1, bias=False), "conv2d"),
    (lambda: nn.Conv2d(4, 8, 3, padding="same", dilation=2), "conv2d"),
    (lambda: nn.Conv2d(8, 8, 2, padding="valid", groups=8), "conv2d"),
    (lambda: normalised(nn.BatchNorm2d(8)), "batch_norm"),
    (lambda: normalised(nn.BatchNorm2d(8, eps=0.1, affine=False)), "batch_norm"),
    (lambda: LocalResponseNorm(n=3, alpha=0.5), "lrn"),
    (nn.Flatten, "reshape"),
    (lambda: nn.Flatten(1), ""),
    (lambda: nn.Linear(4256, 5), "linear"),
    (lambda: normalised(nn.BatchNorm1d(5)), "batch_norm"),
    (lambda: nn.Linear(5, 3, bias=False), "linear"),
    (lambda: Call(lambda m, x: x * m.c, c=torch.arange(3.0)), "scale_shift"),
)
POOLINGS = (
    (lambda: nn.MaxPool2d(3, 1, 1), "max_pool"),
    (lambda: nn.MaxPool2d((2, 3), 1, dilation=(3, 2)), "max_pool"),
    (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), "max_pool"),
    (lambda: Call(lambda _m, x: F.max_pool2d(x, 2, 1, return_indices=True)[0]), "max_pool"),
    (lambda: nn.AvgPool2d((3, 2), (1, 1), (1, 0)), "avg_pool"),
    (lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False), "avg_pool"),
    (lambda: nn.AvgPool2d(2, 2, ceil_mode=True), "avg_pool"),
    (
        lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        "avg_pool",
    ),
    (lambda: Call(lambda _m, x: F.pad(x, (1, 2, 3, 4, 0, 1), value=-0.5)), "pad"),
    (lambda: nn.ZeroPad2d((2, 3, 0, 0)), "pad"),
    (lambda: nn.ConstantPad2d(1, float("-inf")), "pad"),
    (lambda: nn.MaxPool2d(3), "max_pool"),
    (lambda: nn.AdaptiveAvgPool2d((2, 4)), "avg_pool"),
    (nn.Dropout, ""),
    (nn.Dropout2d, ""),
    (lambda: Call(lambda _m, x: x.clone()), ""),
    (lambda: Call(lambda _m, x: x.mean((-1, 2), keepdim=True)), "avg_pool"),
    (lambda: nn.AdaptiveAvgPool2d(1), "avg_pool"),
    (lambda: Call(lambda _m, x: x.view(x.size(0), -1)), "reshape"),
)
ACTIVATIONS = (
    (nn.SiLU, "elementwise"),
    (nn.Hardswish, "elementwise"),
    (lambda: nn.LeakyReLU(0.1), "elementwise"),
    (lambda: nn.Hardtanh(-0.125, 1.0), "elementwise"),
    (nn.Tanh, "elementwise"),
    (lambda: Call(lambda _m, x: x.clamp(-0.0625, 0.75)), "elementwise"),
    (nn.Sigmoid, "elementwise"),
    (nn.Hardsigmoid, "elementwise"),
    (lambda: Call(lambda _m, x: -x), "elementwise"),
    (nn.ReLU6, "elementwise"),
    (lambda: Call(lambda _m, x: x.clamp(min=0)), "elementwise"),
    (nn.ReLU, "elementwise"),
)
ARITHMETIC = (
    (lambda: Call(lambda _m, x: torch.cat([x, x], -3)), "concat"),
    (lambda: Call(lambda _m, x: x + 1.5), "scale_shift"),
    (lambda: Call(lambda _m, x: 2 - x), "scale_shift"),
    (lambda: Call(lambda _m, x: x - 2), "scale_shift"),
    (lambda: Call(lambda _m, x: x / 3), "scale_shift"),
    (lambda: Call(lambda m, x: m.c * x, c=CHANNEL.repeat(2, 1, 1)), "scale_shift"),
    (lambda: Call(lambda m, x: x - m.c, c=CHANNEL.repeat(2, 1, 1)), "scale_shift"),
    (lambda: Call(lambda m, x: m.c - x, c=CHANNEL.repeat(2, 1, 1)), "scale_shift"),
    (lambda: Call(lambda m, x: x * m.c, c=torch.tensor([[[2]]])), "scale_shift"),
    (lambda: Call(lambda _m, x: x + x), "add"),
    (lambda: Call(lambda _m, x: x * x.mean((2, 3), keepdim=True)), "avg_pool mul"),
    (lambda: Call(lambda _m, x: x + F.relu(x)), "elementwise add"),
    (lambda: nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(inplace=True)), "conv2d elementwise"),
)
CHAINS = {
    "convolutions": CONVOLUTIONS,
    "poolings": POOLINGS,
    "activations": ACTIVATIONS,
    "arithmetic": ARITHMETIC,
}
SHAPE = (4, 39, 31)


def chain(name):
    torch.manual_seed(0)
    return nn.Sequential(*(build() for build, _ in CHAINS[name]))


@pytest.mark.parametrize("name", CHAINS)
def test_layers_are_read_as_torch_computes_them(read, name):
    # a constant that is divided by is rounded to float32 once
    graph = read(chain(name), SHAPE, error=1e-7)
    expected = " ".join(operations for _, operations in CHAINS[name])
    assert [node.op for node in graph.nodes] == expected.split()


def test_a_weight_that_is_computed_from_constants_is_a_constant(read):
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3))
    graph = read(conv, SHAPE, error=1e-6)
    assert [node.op for node in graph.nodes] == ["conv2d"]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_the_odd_cell_of_an_even_kernel_is_padded_behind(read):
    read(
        nn.Sequential(
            nn.Conv2d(4, 2, 2, padding="same"),
            nn.Conv2d(2, 3, 4, padding="same"),
            nn.Conv2d(3, 2, (2, 3), padding="same", dilation=3),
        ),
        SHAPE,
    )


# name: module, what the message says
UNKNOWN = {
    "transposed convolution": (lambda: nn.ConvTranspose2d(4, 2, 3), "a transposed convolution"),
    "convolution of one image": (
        lambda: Call(lambda m, x: m.conv(x.view(4, 9, 8)), conv=nn.Conv2d(4, 2, 3)),
        r"a reshape from \(1, 4, 9, 8\) to \(4, 9, 8\); flattening maps is supported",
    ),
    "computed weight": (
        lambda: Call(lambda _m, x: F.linear(x.flatten(1), x.flatten(1))),
        "its parameter view.* is computed; a constant",
    ),
    "linear on maps": (
        lambda: nn.Linear(8, 2),
        r"an input of shape \(1, 4, 9, 8\); \[N, F\] is supported",
    ),
    "indices of a pooling": (
        lambda: Call(lambda _m, x: F.max_pool2d(x, 2, return_indices=True)[1].float()),
        "result 1 of max_pool2d.*; only the first",
    ),
    "divisor": (lambda: nn.AvgPool2d(2, divisor_override=3), "divisor_override=3; None"),
    "adaptive pooling, not whole": (
        lambda: nn.AdaptiveAvgPool2d((2, 2)),
        r"from \(9, 8\) to \(2, 2\); a whole multiple",
    ),
    "mean that drops its axes": (
        lambda: Call(lambda _m, x: x.mean((2, 3))),
        r"a mean over \[2, 3\] .*keepdim=True",
    ),
    "mean over channels": (
        lambda: Call(lambda _m, x: x.mean(1, keepdim=True)),
        r"a mean over \[1\]",
    ),
    "reshape": (
        lambda: nn.PixelShuffle(2),
        r"a reshape from \(1, 4, 9, 8\) to \(1, 1, 2, 2, 9, 8\); flattening maps",
    ),
    "concatenation of rows": (
        lambda: Call(lambda _m, x: torch.cat([x, x], 2)),
        "concatenation of rank 4 along 2",
    ),
    "concatenation with a constant": (
        lambda: Call(lambda m, x: torch.cat([x, m.c], 1), c=torch.ones(1, 1, 9, 8)),
        "a constant among what it joins",
    ),
    "negative padding": (lambda: Call(lambda _m, x: F.pad(x, (-1, 0))), r"padding \[-1, 0\]"),
    "reflected padding": (lambda: nn.ReflectionPad2d(1), "is not supported; supported are"),
    "sum with a factor": (
        lambda: Call(lambda _m, x: torch.add(x, F.relu(x), alpha=2)),
        "alpha=2; 1 is supported",
    ),
    "difference of two": (
        lambda: Call(lambda _m, x: x - F.relu(x)),
        "sub of two computed values .*; add and mul",
    ),
    "sum of maps and a vector": (
        lambda: Call(lambda m, x: x + m.fc(x), fc=vector(8)),
        r"add of two computed values \(1, 4, 9, 8\) and \(1, 8\).*equal ranks",
    ),
    "constant maps": (
        lambda: Call(lambda m, x: x * m.c, c=torch.ones(9, 8)),
        r"a constant of shape \(9, 8\) on \(1, 4, 9, 8\); one number, or one a channel",
    ),
    "constant divided by it": (
        lambda: Call(lambda m, x: m.c / x, c=CHANNEL),
        "a constant divided by a computed value",
    ),
    "clamp from below": (
        lambda: Call(lambda _m, x: x.clamp(min=1.0)),
        "clamp from 1.0 to None; both ends",
    ),
    "random numbers": (
        lambda: Call(lambda _m, x: x + torch.rand(4, 1, 1)),
        "aten.rand.default is not supported",
    ),
    "dropout that stays on": (
        lambda: Call(lambda _m, x: F.dropout(x, training=True)),
        "aten.native_dropout.default is not supported",
    ),
    "statistics of the batch": (
        lambda: nn.BatchNorm2d(4, track_running_stats=False),
        "_native_batch_norm_legit.no_stats is not supported",
    ),
    "GELU": (nn.GELU, "aten.gelu.default is not supported"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_it_is_refused_with_what_was_found_and_what_is_supported(name):
    build, words = UNKNOWN[name]
    with pytest.raises(UnsupportedError, match=rf"^layer '\S+'.*{words}"):
        from_torch(nn.Sequential(build()), (4, 9, 8))


def test_every_handler_is_reached_by_the_chains(monkeypatch):
    reached = set()

    def watch(name, handler):
        def handle(reader, node):
            reached.add(name)
            handler(reader, node)

        return handle

    for name, handler in HANDLERS.items():
        monkeypatch.setitem(HANDLERS, name, watch(name, handler))
    for name in CHAINS:
        from_torch(chain(name), SHAPE)
    # What only refuses, and what test_torch.py reads in LeNet-5.
    assert HANDLERS.keys() - reached == {"aten.convolution.default", "convforge.rbf.default"}

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


def shifted(norm):
    generator = torch.Generator().manual_seed(0)
    nn.init.uniform_(norm.weight, 0.5, 2.0, generator=generator)
    nn.init.normal_(norm.bias, generator=generator)
    return norm


MAPS = torch.linspace(0.5, 2.0, 39 * 31).reshape(39, 31)
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
    (lambda: nn.AdaptiveAvgPool2d((3, 4)), "adaptive_avg_pool"),
    (lambda: nn.AvgPool2d(2, 1, 1, ceil_mode=True), "avg_pool"),
    (lambda: nn.AdaptiveMaxPool2d((3, 2)), "adaptive_max_pool"),
    (lambda: nn.AdaptiveMaxPool2d((1, 2)), "max_pool"),
    (lambda: Call(lambda _m, x: x.amax((2, 3), keepdim=True)), "max_pool"),
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
    (nn.GELU, "elementwise"),
    (lambda: nn.GELU(approximate="tanh"), "elementwise"),
    (lambda: nn.ELU(0.5), "elementwise"),
    (nn.SELU, "elementwise"),
    (lambda: nn.CELU(2.0), "elementwise"),
    (lambda: nn.PReLU(4), "prelu"),
    (nn.PReLU, "elementwise"),
    (lambda: nn.Softplus(beta=2), "elementwise"),
    (nn.Softplus, "elementwise"),
    (nn.Mish, "elementwise"),
    (lambda: Call(lambda _m, x: x.clamp(max=0.5)), "elementwise"),
    (lambda: Call(lambda _m, x: x.clamp(min=-0.25)), "elementwise"),
    (lambda: Call(lambda _m, x: x.abs().sqrt().exp()), "elementwise elementwise elementwise"),
    (lambda: Call(lambda _m, x: x.log().erf()), "elementwise elementwise"),
    (lambda: Call(lambda _m, x: (x + 2).rsqrt().reciprocal()), "scale_shift" + " elementwise" * 2),
    (lambda: Call(lambda _m, x: x**2 + x**3 + x**0.5), "mul mul mul add elementwise add"),
    (lambda: nn.Softmax(1), "softmax"),
    (lambda: Call(lambda _m, x: F.softsign(x)), "elementwise scale_shift div"),
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
    (lambda: Call(lambda _m, x: torch.add(x, F.relu(x), alpha=2)), "elementwise elementwise add"),
    (lambda: Call(lambda _m, x: torch.sub(x, 1.5, alpha=2)), "scale_shift"),
    (lambda: Call(lambda _m, x: x - F.sigmoid(x)), "elementwise sub"),
    (lambda: Call(lambda _m, x: x / (1 + x * x)), "mul scale_shift div"),
    (lambda: Call(lambda m, x: m.c / (3 + x * x), c=MAPS), "mul scale_shift div"),
    (lambda: Call(lambda _m, x: 2 / (3 + x * x)), "mul scale_shift elementwise scale_shift"),
    (lambda: Call(lambda m, x: m.c - x, c=MAPS), "sub"),
    (lambda: Call(lambda m, x: x * m.c, c=MAPS), "mul"),
    (
        lambda: Call(lambda m, x: x + m.fc(x.mean((2, 3))), fc=nn.Linear(8, 31)),
        "avg_pool reshape linear add",
    ),
    (
        lambda: Call(lambda _m, x: x * x.mean((2, 3), keepdim=True).expand_as(x)),
        "avg_pool mul",
    ),
    (lambda: nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(inplace=True)), "conv2d elementwise"),
)
NORMS = (
    (lambda: shifted(nn.LayerNorm(31)), "layer_norm"),
    (lambda: shifted(nn.LayerNorm((39, 31))), "reshape layer_norm reshape"),
    (lambda: nn.LayerNorm(31, eps=0.1, elementwise_affine=False), "layer_norm"),
    (lambda: shifted(nn.GroupNorm(2, 4)), "reshape layer_norm reshape scale_shift"),
    (lambda: nn.GroupNorm(4, 4, affine=False), "reshape layer_norm reshape"),
    (
        lambda: Call(
            lambda m, x: m.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
            norm=shifted(nn.LayerNorm(4)),
        ),
        "transpose layer_norm transpose",
    ),
    (lambda: nn.Linear(31, 5), "linear"),
)
MOVES = (
    (lambda: nn.ChannelShuffle(2), "reshape transpose reshape"),
    (lambda: Call(lambda _m, x: torch.cat(x.chunk(2, 1)[::-1], 1)), "slice slice concat"),
    (lambda: Call(lambda _m, x: sum(x.split([16, 15], 3)[:1])), "slice slice scale_shift"),
    (lambda: Call(lambda _m, x: x[:, :, -6::2, 1:]), "slice slice"),
    (lambda: Call(lambda _m, x: torch.stack([x, x], 2)), "concat reshape"),
    (lambda: Call(lambda _m, x: x[:, :, 1]), "slice reshape"),
    (lambda: Call(lambda _m, x: x.unbind(2)[0]), "slice reshape"),
    (lambda: Call(lambda _m, x: x.unsqueeze(2).transpose(1, 3)), "reshape transpose"),
    (lambda: Call(lambda _m, x: x.squeeze(2).contiguous()), "reshape"),
    (lambda: nn.Unflatten(1, (5, 3)), "reshape"),
    (lambda: Call(lambda _m, x: x.to(torch.float32).movedim(1, -1)), "transpose"),
    (lambda: Call(lambda _m, x: x.flatten(2)), "reshape"),
    (lambda: Call(lambda _m, x: torch.cat([x], 1)), ""),
    (lambda: Call(lambda _m, x: x.mean(1)), "mean reshape"),
    (lambda: Call(lambda _m, x: x.sum(1, keepdim=True)), "mean elementwise"),
)
RESIZING = (
    (lambda: nn.Upsample(scale_factor=2), "upsample_nearest"),
    (lambda: nn.Upsample(size=(50, 70)), "upsample_nearest"),
    (lambda: nn.Upsample(scale_factor=0.4), "upsample_nearest"),
    (lambda: nn.Upsample(scale_factor=1.7, mode="bilinear"), "upsample_bilinear"),
    (lambda: nn.Upsample(size=(20, 90), mode="bilinear"), "upsample_bilinear"),
    (
        lambda: nn.Upsample(size=(1, 50), mode="bilinear", align_corners=True),
        "upsample_bilinear",
    ),
    (
        lambda: nn.Upsample(scale_factor=3, mode="bilinear", align_corners=True),
        "upsample_bilinear",
    ),
    (lambda: nn.Upsample(scale_factor=1.5, mode="nearest-exact"), "upsample_nearest"),
    (lambda: nn.ReflectionPad2d((2, 1, 0, 2)), "upsample_nearest upsample_nearest"),
    (lambda: nn.ReplicationPad2d(1), "upsample_nearest upsample_nearest"),
)
CHAINS = {
    "convolutions": CONVOLUTIONS,
    "poolings": POOLINGS,
    "activations": ACTIVATIONS,
    "arithmetic": ARITHMETIC,
    "norms": NORMS,
    "moves": MOVES,
    "resizing": RESIZING,
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


def test_bicubic_upsampling_is_computed_from_its_parts(read):
    read(nn.Upsample(scale_factor=2, mode="bicubic"), SHAPE)


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
        r"an input of shape \(1, 4, 9, 8\)|an input of shape \(4, 9, 8\); \[N, C, H, W\]",
    ),
    "pooling of one image": (
        lambda: Call(lambda _m, x: F.avg_pool2d(x.view(4, 9, 8), 2)),
        r"an input of shape \(4, 9, 8\); \[N, C, H, W\]",
    ),
    "computed weight": (
        lambda: Call(lambda _m, x: F.linear(x.flatten(1), x.flatten(1))),
        "its parameter view.* is computed; a constant",
    ),
    "indices of a pooling": (
        lambda: Call(lambda _m, x: F.max_pool2d(x, 2, return_indices=True)[1].float()),
        "result 1 of max_pool2d.*; only the first",
    ),
    "divisor": (lambda: nn.AvgPool2d(2, divisor_override=3), "divisor_override=3; None"),
    "negative padding": (lambda: Call(lambda _m, x: F.pad(x, (-1, 0))), r"padding \[-1, 0\]"),
    "a single number": (
        lambda: Call(lambda _m, x: x.mean()),
        "mean of all of .*not a single number",
    ),
    "the largest of channels": (
        lambda: Call(lambda _m, x: x.amax(1)),
        r"amax over \[1\] .*over height and width is",
    ),
    "seven axes": (
        lambda: Call(lambda _m, x: x.view(1, 2, 2, 3, 3, 2, 4)),
        "a reshape from .*1 to 6 axes are supported",
    ),
    "concatenation with a constant": (
        lambda: Call(lambda m, x: torch.cat([x, m.c], 1), c=torch.ones(1, 1, 9, 8)),
        "a constant among what it joins",
    ),
    "an empty slice": (lambda: Call(lambda _m, x: torch.cat([x, x[:, 4:]], 1)), "which is empty"),
    "an empty part": (lambda: Call(lambda _m, x: x.split([4, 0], 1)[0]), r"parts of \[4, 0\]"),
    "stretching": (
        lambda: Call(lambda _m, x: F.relu(x.mean(1, keepdim=True).expand(1, 4, 9, 8))),
        r"stretching \(1, 1, 9, 8\) to \(1, 4, 9, 8\); before a sum",
    ),
    "a choice of cells": (
        lambda: Call(lambda m, x: x[:, :, m.i, m.i], i=torch.tensor([0, 2])),
        r"indices of shape \(2,\); whole rows and columns",
    ),
    "a choice of channels": (
        lambda: Call(lambda m, x: x[:, m.i], i=torch.tensor([0, 2])),
        "indices into .*rows and columns are supported",
    ),
    "another type": (lambda: Call(lambda _m, x: x.double().float()), "a copy to torch.float64"),
    "computed slopes": (
        lambda: Call(lambda _m, x: F.prelu(x, x.mean((0, 2, 3)))),
        "computed slopes; constant ones",
    ),
    "another power": (lambda: Call(lambda _m, x: x**1.5), "the power 1.5; -1, -0.5, 0.5, 2, 3 are"),
    "a low threshold": (lambda: nn.Softplus(threshold=2), "threshold=2; 17 or more"),
    "attention": (
        lambda: Call(lambda _m, x: x @ x.transpose(2, 3)),
        "aten.bmm.default is not supported",
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
    # What only refuses, what test_torch.py reads in LeNet-5, what other versions of torch give.
    assert HANDLERS.keys() - reached == {
        "aten.convolution.default",
        "convforge.rbf.default",
        "aten.mean.default",
        "aten.upsample_nearest2d.default",
        "aten.upsample_bilinear2d.default",
        "aten._to_copy.default",
    }

"""The numpy meaning of every operation against torch, both in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from convforge.compiler.ir.graph import Node
from convforge.compiler.ir.ops import EPILOGUES, OPS
from convforge.compiler.ir.reference import apply_step, compute, evaluate, evaluate_all
from convforge.networks.blocks import LocalResponseNorm
from convforge.networks.catalog import create

WINDOW = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
PAIR = st.tuples


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def numpy_of(op, *inputs, epilogue=(), **attrs):
    names = tuple(f"x{i}" for i in range(len(inputs)))
    return compute(Node("n", op, names, attrs, epilogue), list(inputs))


def check(ours, theirs):
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-12)


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def pad_all(x, padding, value=0.0):
    top, left, bottom, right = padding
    return F.pad(x, (left, right, top, bottom), value=value)


@settings(deadline=None, max_examples=40)
@given(
    groups=st.integers(1, 4),
    fan_in=st.integers(1, 3),
    fan_out=st.integers(1, 3),
    size=PAIR(st.integers(1, 9), st.integers(1, 9)),
    kernel=PAIR(st.integers(1, 5), st.integers(1, 5)),
    stride=PAIR(st.integers(1, 3), st.integers(1, 3)),
    dilation=PAIR(st.integers(1, 2), st.integers(1, 2)),
    padding=PAIR(*[st.integers(0, 5)] * 4),
    bias=st.booleans(),
)
def test_conv2d(groups, fan_in, fan_out, size, kernel, stride, dilation, padding, bias):
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding = tuple(  # grown until the kernel fits
        max(p, reach[i % 2] - size[i % 2]) for i, p in enumerate(padding)
    )
    x = draw(1, groups * fan_in, *size)
    weight, shift = draw(groups * fan_out, fan_in, *kernel, seed=1), draw(groups * fan_out, seed=2)
    arrays = [x, weight, shift] if bias else [x, weight]
    attrs = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    image, *rest = tensors(*arrays)
    theirs = F.conv2d(
        pad_all(image, padding), *rest, stride=stride, dilation=dilation, groups=groups
    )
    check(numpy_of("conv2d", *arrays, **attrs), theirs)


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    arrays = [draw(1, 7), draw(5, 7), draw(5)][: 3 if bias else 2]
    check(numpy_of("linear", *arrays), F.linear(*tensors(*arrays)))


@pytest.mark.parametrize("shape", [(1, 4, 3, 2), (1, 4)])
def test_batch_norm(shape):
    x, gamma, beta, mean = draw(*shape), draw(4, seed=1), draw(4, seed=2), draw(4, seed=3)
    variance = draw(4, seed=4) ** 2
    image, *parameters = tensors(x, mean, variance, gamma, beta)
    theirs = F.batch_norm(image, *parameters, training=False, eps=1e-3)
    check(numpy_of("batch_norm", x, gamma, beta, mean, variance, eps=1e-3), theirs)


@pytest.mark.parametrize("shape", [(1, 4, 3, 2), (1, 4)])
def test_scale_shift(shape):
    x, scale, shift = tensors(draw(*shape), draw(4, seed=1), draw(4, seed=2))
    per_channel = (1, 4, *(1,) * (len(shape) - 2))
    theirs = x * scale.reshape(per_channel) + shift.reshape(per_channel)
    check(numpy_of("scale_shift", x.numpy(), scale.numpy(), shift.numpy()), theirs)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_max_pool_and_ceil_mode_as_padding_that_never_wins(stride, padding, dilation, ceil_mode):
    x = draw(1, 3, 8, 9) - 5.0  # all negative: a padding of zeros would win
    theirs = F.max_pool2d(
        torch.from_numpy(x), (3, 2), stride, padding, dilation, ceil_mode=ceil_mode
    )
    reach = [dilation * 2 + 1, dilation + 1]
    after = [
        max(padding, (theirs.shape[2 + i] - 1) * stride + reach[i] - x.shape[2 + i] - padding)
        for i in (0, 1)
    ]
    attrs = {"stride": (stride, stride), "dilation": (dilation, dilation), "kernel": (3, 2)}
    attrs["padding"] = (padding, padding, *after)
    check(numpy_of("max_pool", x, **attrs), theirs)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("count", [False, True])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_avg_pool_counts_padding_or_not_and_never_what_ceil_mode_adds(
    stride, padding, count, ceil_mode
):
    x = draw(2, 3, 8, 9)
    theirs = F.avg_pool2d(
        torch.from_numpy(x), (3, 2), stride, padding, ceil_mode=ceil_mode, count_include_pad=count
    )
    after = [
        max(padding, (theirs.shape[2 + i] - 1) * stride + (3, 2)[i] - x.shape[2 + i] - padding)
        for i in (0, 1)
    ]
    attrs = {**WINDOW, "kernel": (3, 2), "stride": (stride, stride)}
    attrs["padding"] = (padding, padding, *after)
    check(numpy_of("avg_pool", x, **attrs, counted=(padding * count,) * 4), theirs)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 8), (5, 9), (16, 18)])
def test_adaptive_avg_pool_and_adaptive_max_pool_share_out_any_map(size):
    x = draw(2, 3, 8, 9)
    image = torch.from_numpy(x)
    check(numpy_of("adaptive_avg_pool", x, size=size), F.adaptive_avg_pool2d(image, size))
    check(numpy_of("adaptive_max_pool", x, size=size), F.adaptive_max_pool2d(image, size))


def test_pad_fills_rows_columns_and_channels():
    x = draw(1, 2, 3, 4)
    theirs = F.pad(torch.from_numpy(x), (2, 4, 1, 3, 5, 6), value=-1.5)
    attrs = {"padding": (1, 2, 3, 4), "channels": (5, 6), "fill": -1.5}
    check(numpy_of("pad", x, **attrs), theirs)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_lrn_is_the_formula_of_krizhevsky_2012_section_3_3(size):
    a = draw(1, 6, 2, 3)
    k, alpha, beta = 2.0, 0.3, 0.75
    b = np.empty_like(a)
    for i in range(6):
        first, last = max(0, i - size // 2), min(5, i + size - 1 - size // 2)
        total = sum(a[:, j] ** 2 for j in range(first, last + 1))
        b[:, i] = a[:, i] / (k + alpha * total) ** beta
    ours = numpy_of("lrn", a, size=size, alpha=alpha, beta=beta, k=k)
    np.testing.assert_allclose(ours, b, rtol=1e-13)
    if size % 2:
        network = LocalResponseNorm(n=size, k=k, alpha=alpha, beta=beta)(torch.from_numpy(a))
        check(ours, network)
        # torch divides alpha by the size
        check(ours, F.local_response_norm(torch.from_numpy(a), size, alpha * size, beta, k))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((1, 3, 4, 5), (1, 3, 4, 5)),
        ((1, 3, 4, 5), (1, 3, 1, 1)),
        ((1, 1, 4, 1), (1, 3, 1, 5)),
        ((1, 3), (1, 1)),
        ((2, 3, 4, 5), (4, 1)),
        ((5,), (2, 3, 1)),
    ],
)
@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
def test_add_sub_mul_and_div_broadcast(op, left, right):
    a, b = draw(*left), draw(*right, seed=1)
    check(numpy_of(op, a, b), getattr(torch, op)(*tensors(a, b)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_concat_is_along_its_axis(axis):
    shapes = [[2 + (i == axis) * count for i in range(3)] for count in (0, 3, 1)]
    parts = [draw(*shape) for shape in shapes]
    check(numpy_of("concat", *parts, axis=axis), torch.cat(tensors(*parts), axis))


def test_slice_is_pythons():
    x = draw(2, 9, 3)
    attrs = {"axis": 1, "start": 1, "stop": 8, "step": 3}
    check(numpy_of("slice", x, **attrs), torch.from_numpy(x)[:, 1:8:3])


def test_reshape_and_transpose():
    x = draw(2, 3, 4, 5)
    image = torch.from_numpy(x)
    check(numpy_of("reshape", x, shape=(6, 20)), image.reshape(6, 20))
    check(numpy_of("transpose", x, perm=(0, 2, 3, 1)), image.permute(0, 2, 3, 1))


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_layer_norm_is_over_one_axis(axis):
    x = draw(4, 4, 3, 4) + 3
    gamma, beta = draw(4, seed=1), draw(4, seed=2)
    image, *parameters = tensors(x, gamma, beta)
    theirs = F.layer_norm(image.movedim(axis, -1), (4,), *parameters, eps=1e-3).movedim(-1, axis)
    check(numpy_of("layer_norm", x, gamma, beta, axis=axis, eps=1e-3), theirs)
    theirs = F.layer_norm(image.movedim(axis, -1), (4,), eps=1e-3).movedim(-1, axis)
    check(numpy_of("layer_norm", x, axis=axis, eps=1e-3), theirs)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_softmax(axis):
    x = draw(3, 4, 5) * 300
    check(numpy_of("softmax", x, axis=axis), torch.softmax(torch.from_numpy(x), axis))


@pytest.mark.parametrize("axes", [(0,), (1, 3), (3, 2)])
def test_mean_keeps_its_axes(axes):
    x = draw(2, 3, 4, 5)
    check(numpy_of("mean", x, axes=axes), torch.from_numpy(x).mean(axes, keepdim=True))


def test_conv2d_add():
    x, addend, weight, bias = draw(1, 4, 5, 5), draw(1, 6, 3, 3), draw(6, 4, 3, 3), draw(6)
    theirs = F.conv2d(*tensors(x, weight, bias)) + torch.from_numpy(addend)
    attrs = {"stride": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0), "groups": 1}
    check(numpy_of("conv2d_add", x, addend, weight, bias, **attrs), theirs)


def test_conv2d_pair():
    x, weight, bias = draw(1, 4, 5, 5), draw(6, 4, 3, 3), draw(6)
    filters, shift = draw(6, 1, 3, 3), draw(6, seed=1)
    between = F.hardtanh(F.conv2d(*tensors(x, weight, bias), padding=2), -0.5, 0.5)
    theirs = F.conv2d(between, *tensors(filters, shift), stride=2, padding=1, groups=6)
    attrs = {"stride": (2, 2), "dilation": (1, 1), "padding": (1, 1, 1, 1)}
    attrs |= {"mix_stride": (1, 1), "mix_dilation": (1, 1), "mix_padding": (2, 2, 2, 2)}
    names = tuple("abcde")
    node = Node("n", "conv2d_pair", names, attrs, between=(("clip", -0.5, 0.5),))
    check(compute(node, [x, weight, bias, filters, shift]), theirs)


def test_prelu():
    x, slope = draw(2, 4, 3, 3), draw(4, seed=1)
    check(numpy_of("prelu", x, slope), F.prelu(*tensors(x, slope)))


def test_upsample_nearest_takes_the_named_rows_and_columns():
    x = draw(1, 2, 3, 4)
    attrs = {"rows": (0, 0, 1, 1, 2, 2), "columns": (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)}
    theirs = F.interpolate(torch.from_numpy(x), scale_factor=(2, 3), mode="nearest")
    check(numpy_of("upsample_nearest", x, **attrs), theirs)


def test_upsample_bilinear_weighs_neighbours():
    x = draw(1, 2, 2, 2)
    attrs = {"rows": (0, 0, 1), "columns": (0, 0, 0, 1)}
    weights = np.array([0, 0.5, 0]), np.array([0, 1 / 3, 2 / 3, 0])
    theirs = F.interpolate(torch.from_numpy(x), (3, 4), mode="bilinear", align_corners=True)
    check(numpy_of("upsample_bilinear", x, *weights, **attrs), theirs)


def test_rbf_is_the_output_layer_of_lenet5():
    head = create("lenet5").head.double()
    x = draw(1, 84)
    check(numpy_of("rbf", x, head.output.codes.numpy()), head.output(torch.from_numpy(x)))


# test_reference_int8.py
INT8 = {"quantize", "dequantize", *(op for op in OPS if "int8" in op)}


def test_the_operations_above_are_all_but_the_one_that_is_its_epilogue():
    tested = " ".join(name for name in globals() if name.startswith("test_"))
    missing = [op for op in OPS if op not in tested and op not in INT8]
    assert missing == ["elementwise"]


TORCH_STEPS = {
    ("affine", 1.5, -0.25): lambda x: x * 1.5 - 0.25,
    ("relu",): F.relu,
    ("clip", -0.5, 1.25): lambda x: F.hardtanh(x, -0.5, 1.25),
    ("leaky_relu", 0.1): lambda x: F.leaky_relu(x, 0.1),
    ("sigmoid",): torch.sigmoid,
    ("tanh",): torch.tanh,
    ("silu",): F.silu,
    ("hard_sigmoid",): F.hardsigmoid,
    ("hard_swish",): F.hardswish,
    ("gelu",): F.gelu,
    ("gelu_tanh",): lambda x: F.gelu(x, approximate="tanh"),
    ("elu", 0.7): lambda x: F.elu(x, 0.7),
    ("softplus",): F.softplus,
    ("mish",): F.mish,
    ("exp",): torch.exp,
    ("log",): torch.log,
    ("sqrt",): torch.sqrt,
    ("abs",): torch.abs,
    ("erf",): torch.erf,
    ("reciprocal",): torch.reciprocal,
}


def test_every_step_has_a_peer_in_torch():
    assert {step[0] for step in TORCH_STEPS} == set(EPILOGUES)


@pytest.mark.parametrize("step", TORCH_STEPS, ids=lambda step: step[0])
def test_a_step_is_torchs_function(step):
    edges = [-1e30, -750.0, -40.0, -6.0, -3.0, -0.5, -0.0, 0.0, 0.5, 1.25, 3.0, 6.0, 40.0, 750.0]
    x = np.concatenate([draw(100) * 3, edges, [np.nan, 1e30, np.inf]])
    check(apply_step(step, x), TORCH_STEPS[step](torch.from_numpy(x)))


def test_an_epilogue_runs_in_its_order():
    x = draw(1, 8)
    steps = (("affine", -2.0, 1.0), ("relu",), ("affine", 3.0, 0.5))
    np.testing.assert_array_equal(
        numpy_of("elementwise", x, epilogue=steps), np.maximum(x * -2 + 1, 0) * 3 + 0.5
    )


def test_a_graph_is_its_nodes_one_after_the_other(make_graph):
    weight = np.arange(12).reshape(2, 6)
    graph = make_graph(
        Node("relu", "elementwise", ("x",), {}, (("relu",),)),
        Node("flat", "reshape", ("relu",), {"shape": (1, 6)}),
        Node("fc", "linear", ("flat", "w")),
        shape=(1, 1, 2, 3),
        w=weight,
    )
    x = draw(1, 1, 2, 3)
    values = evaluate_all(graph, x)
    assert list(values) == ["x", "w", "relu", "flat", "fc"]
    np.testing.assert_allclose(values["fc"][0], weight @ np.maximum(x, 0).ravel(), rtol=1e-12)
    np.testing.assert_array_equal(evaluate(graph, x), values["fc"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_answer_has_the_type_of_the_image(make_graph, dtype):
    conv = {**WINDOW, "groups": 1}
    pool = {**WINDOW, "kernel": (2, 2)}
    graph = make_graph(
        Node("a", "conv2d", ("x", "w"), conv, tuple(TORCH_STEPS)),
        Node("b", "batch_norm", ("a", "s", "s", "s", "s"), {"eps": 1e-5}),
        Node("c", "lrn", ("b",), {"size": 3, "alpha": 0.1, "beta": 0.75, "k": 2.0}),
        Node("d", "avg_pool", ("c",), {**pool, "counted": (0, 0, 0, 0)}),
        Node("e", "max_pool", ("d",), pool),
        Node("f", "pad", ("e",), {"padding": (1, 1, 1, 1), "channels": (0, 1), "fill": 0.5}),
        w=np.ones((2, 3, 1, 1)),
        s=np.ones(2),
    )
    values = evaluate_all(graph, draw(1, 3, 6, 6).astype(dtype))
    assert {value.dtype for value in values.values()} == {np.dtype(dtype)}

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convforge.analysis import arithmetic as a
from convforge.errors import NetworkError

sizes = st.integers(1, 40)
kernels = st.integers(1, 7)
strides = st.integers(1, 4)
dilations = st.integers(1, 3)


def torch_size(module, size):
    try:
        return module(torch.zeros(1, 1, size, device="meta")).shape[2]
    except RuntimeError:
        return None


def our_size(size, **window):
    try:
        return a.output_size(size, **window)
    except NetworkError:
        return None


@settings(max_examples=300, deadline=None)
@given(sizes, kernels, strides, st.integers(0, 5), dilations)
def test_output_size_is_that_of_torchs_convolution_or_both_refuse(n, k, s, p, d):
    layer = nn.Conv1d(1, 1, k, stride=s, padding=p, dilation=d, device="meta")
    assert our_size(n, kernel=k, stride=s, padding=p, dilation=d) == torch_size(layer, n)


@settings(max_examples=300, deadline=None)
@given(sizes, kernels, strides, st.integers(0, 3), dilations, st.sampled_from(["floor", "ceil"]))
def test_output_size_is_that_of_torchs_pooling_in_both_roundings(n, k, s, p, d, rounding):
    p = min(p, k // 2)
    layer = nn.MaxPool1d(k, s, padding=p, dilation=d, ceil_mode=rounding == "ceil")
    ours = our_size(n, kernel=k, stride=s, padding=p, dilation=d, rounding=rounding)
    assert ours == torch_size(layer, n)


@pytest.mark.parametrize(
    ("n", "window", "expected"),
    [
        (32, {"kernel": 5}, 28),  # LeNet-5, C1
        (227, {"kernel": 11, "stride": 4}, 55),  # AlexNet, 227 and not the paper's 224
        (224, {"kernel": 7, "stride": 2, "padding": 3}, 112),  # ResNet, the stem
        (112, {"kernel": 3, "stride": 2, "rounding": "ceil"}, 56),  # GoogLeNet, its pooling
        (112, {"kernel": 3, "stride": 2}, 55),
        (224, {"kernel": 3, "stride": 2, "padding": (0, 1)}, 112),
    ],
)
def test_output_size_has_the_papers_numbers(n, window, expected):
    assert a.output_size(n, **window) == expected


def test_output_size_refuses_a_kernel_larger_than_the_padded_input_naming_the_numbers():
    message = r"spans 5 positions.*input of 2 with padding 1 \+ 1 = 4; pad by 1 more.*at least 3"
    with pytest.raises(NetworkError, match=message):
        a.output_size(2, kernel=5, padding=1)
    assert a.output_size(3, kernel=5, padding=1) == 1
    assert a.output_size(2, kernel=5, padding=(1, 2)) == 1


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"kernel": 0}, "kernel: expected at least 1, got 0"),
        ({"kernel": 3, "stride": 0}, "stride: expected at least 1, got 0"),
        ({"kernel": 3, "dilation": -2}, "dilation: expected at least 1, got -2"),
        ({"kernel": 3, "padding": (0, -1)}, "padding: expected at least 0, got -1"),
    ],
)
def test_a_window_with_a_number_out_of_range_is_refused(window, message):
    with pytest.raises(NetworkError, match=message):
        a.output_size(8, **window)


@given(sizes, st.sampled_from([1, 3, 5, 7]), dilations, strides)
def test_same_padding_gives_ceil_of_size_over_stride(n, k, d, s):
    p = a.same_padding(k, dilation=d)
    assert a.output_size(n, kernel=k, padding=p, dilation=d) == n
    assert a.output_size(n, kernel=k, padding=p, dilation=d, stride=s) == -(-n // s)


def test_same_padding_refuses_an_even_span():
    with pytest.raises(NetworkError, match="kernel of 4 with dilation 1 needs 3 positions"):
        a.same_padding(4)
    assert a.same_padding(4, dilation=2) == 3


@given(sizes, kernels, strides, dilations)
def test_tensorflows_padding_gives_ceil_and_is_the_smallest_that_does(n, k, s, d):
    before, after = a.same_padding_tf(n, kernel=k, stride=s, dilation=d)
    assert after - before in {0, 1}
    window = {"kernel": k, "stride": s, "dilation": d}
    assert a.output_size(n, padding=(before, after), **window) == -(-n // s)
    if after:
        assert our_size(n, padding=(before, after - 1), **window) in {None, -(-n // s) - 1}


def test_tensorflows_padding_is_asymmetric_where_the_symmetric_rule_is_not():
    assert a.same_padding_tf(224, kernel=3, stride=2) == (0, 1)
    assert a.same_padding_tf(224, kernel=7, stride=2) == (2, 3)
    assert a.same_padding_tf(225, kernel=3, stride=2) == (1, 1)
    assert a.same_padding_tf(5, kernel=1, stride=2) == (0, 0)


def test_three_small_kernels_see_as_far_as_one_large_one():
    field = a.receptive_field([a.Window(kernel=3, padding=1)] * 3)
    assert (field.size, field.jump, field.first) == (7, 1, -3)
    assert field.centre == 0


def test_the_receptive_field_of_vgg16s_last_pooling_is_212_at_jump_32():
    three, pool = a.Window(kernel=3, padding=1), a.Window(kernel=2, stride=2)
    chain = [layer for n in (2, 2, 3, 3, 3) for layer in [*[three] * n, pool]]
    field = a.receptive_field(chain)
    assert (field.size, field.jump) == (212, 32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.builds(a.Window, kernel=kernels, stride=st.integers(1, 3), dilation=dilations)
             | st.builds(a.Window, kernel=st.just(3), padding=st.tuples(
                 st.integers(0, 2), st.integers(0, 2))), min_size=1, max_size=4),
    st.integers(0, 3),
)  # fmt: skip
def test_the_receptive_field_is_where_the_gradient_arrives(chain, index):
    field = a.receptive_field(chain)
    x = torch.ones(1, 1, 1000, dtype=torch.float64, requires_grad=True)
    y = x
    for window in chain:
        y = nn.functional.conv1d(
            nn.functional.pad(y, window.pads),
            torch.ones(1, 1, window.kernel, dtype=torch.float64),
            stride=window.stride,
            dilation=window.dilation,
        )
    y[0, 0, index].backward()
    seen = x.grad[0, 0].nonzero().flatten()
    start = int(field.first + index * field.jump)
    end = start + field.size - 1
    assert seen[-1] == end  # padding never comes at the far end of so long an input
    assert start <= seen[0]
    assert start < 0 or seen[0] == start


CASES = [
    {"in_channels": 1, "out_channels": 6, "kernel_size": (5, 5), "groups": 1, "bias": True},
    {"in_channels": 12, "out_channels": 8, "kernel_size": (3, 1), "groups": 4, "bias": False},
    {"in_channels": 6, "out_channels": 6, "kernel_size": (3, 3), "groups": 6, "bias": True},
]


@pytest.mark.parametrize("case", CASES)
def test_convolution_parameters_are_torchs(case):
    layer = nn.Conv2d(**case)
    counted = a.convolution_parameters(**case)
    assert counted == sum(p.numel() for p in layer.parameters())


@pytest.mark.parametrize("case", CASES)
def test_convolution_macs_are_the_multiplications_that_a_loop_counts(case):
    groups, (height, width) = case["groups"], case["kernel_size"]
    count = 0
    for output in range(case["out_channels"]):
        group = output // (case["out_channels"] // groups)
        for channel in range(case["in_channels"]):
            if channel // (case["in_channels"] // groups) == group:
                count += height * width * 4 * 7
    fields = {name: value for name, value in case.items() if name != "bias"}
    assert a.convolution_macs(**fields, output_size=(4, 7)) == count


def test_lenet5s_published_counts():
    assert a.convolution_parameters(1, 6, kernel_size=5) == 156
    assert a.convolution_macs(1, 6, kernel_size=5, output_size=(28, 28)) == 117_600
    assert a.convolution_parameters(16, 120, kernel_size=5) == 48_120
    assert a.linear_parameters(120, 84) == 10_164


def test_vgg16s_first_linear_layer():
    assert a.linear_parameters(7 * 7 * 512, 4096) == 102_764_544
    assert a.linear_macs(7 * 7 * 512, 4096) == 102_760_448
    assert a.linear_parameters(3, 5, bias=False) == 15
    assert a.batch_norm_parameters(64) == 128


def test_pooling_counts_one_operation_a_value_in_a_window():
    assert a.pooling_operations(6, kernel_size=2, output_size=(14, 14)) == 6 * 14 * 14 * 4


def test_channels_that_groups_do_not_divide_are_refused():
    with pytest.raises(NetworkError, match=r"6 input and 16 output channels .* 4 groups"):
        a.convolution_parameters(6, 16, kernel_size=3, groups=4)
    with pytest.raises(NetworkError, match="in_channels: expected at least 1, got 0"):
        a.convolution_macs(0, 16, kernel_size=3, output_size=(1, 1))
    with pytest.raises(NetworkError, match="size: expected at least 1, got 0"):
        a.convolution_macs(1, 16, kernel_size=3, output_size=(0, 1))


@given(st.integers(1, 512), st.integers(1, 512), kernels, sizes)
def test_the_depthwise_separable_saving_is_its_closed_form(m, n, k, size):
    saving = a.depthwise_separable_saving(m, n, kernel_size=k, output_size=(size, size))
    assert saving.ratio == a.depthwise_separable_ratio(n, kernel_size=k)


def test_mobilenets_three_by_three_costs_eight_to_nine_times_less():
    assert 8 < 1 / a.depthwise_separable_ratio(512, kernel_size=3) < 9
    assert a.depthwise_separable_ratio(64, kernel_size=3) == Fraction(1, 64) + Fraction(1, 9)


def test_the_bottleneck_of_the_notes_costs_a_tenth():
    saving = a.bottleneck_saving(192, 32, kernel_size=5, output_size=(28, 28), bottleneck=16)
    assert saving.direct == 120_422_400
    assert saving.factored == 12_443_648
    assert 0.10 < saving.ratio < 0.104


@given(st.integers(1, 64), st.integers(1, 64), kernels, st.integers(1, 64))
def test_a_bottleneck_pays_below_the_bound_in_its_docstring(m, n, k, b):
    saving = a.bottleneck_saving(m, n, kernel_size=k, output_size=(3, 3), bottleneck=b)
    assert (saving.ratio < 1) == (b < Fraction(m * n * k * k, m + n * k * k))

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convforge.analysis.scaling import (
    Factors,
    Rule,
    largest_phi,
    pareto_front,
    rule_of,
    scalable,
    scaled_arguments,
)
from convforge.errors import NetworkError
from convforge.networks.catalog import CATALOG, create
from convforge.networks.efficientnet import compound_scaling

EVEN = Factors(depth=2, width=1.25, resolution=1.25)
SCALED_MODULES = {"efficientnet", "mobilenet_v1", "mobilenet_v2", "resnet", "vgg"}


def macs_of(network, factors):
    import torch

    from convforge.analysis.summary import describe

    with torch.device("meta"):
        return describe(create(network, **scaled_arguments(network, factors))).macs


@pytest.mark.parametrize("phi", [-2, 0, 1, 3.5])
def test_the_papers_rule_is_the_one_of_efficientnet(phi):
    width, depth, pixels = compound_scaling(phi)
    factors = Rule().at(phi)
    assert (factors.width, factors.depth) == (width, depth)
    assert 224 * factors.resolution == pytest.approx(pixels)


def test_the_papers_rule_doubles_multiply_adds_about():
    assert Rule().growth == pytest.approx(1.92, abs=0.005)
    assert Rule().at(3).macs == pytest.approx(Rule().growth ** 3)


@given(
    shares=st.tuples(*[st.floats(0, 1)] * 3).filter(lambda found: sum(found) > 1e-3),
    phi=st.floats(-3, 3),
)
def test_any_mix_doubles_multiply_adds_exactly(shares, phi):
    depth, width, resolution = shares
    rule = rule_of(depth=depth, width=width, resolution=resolution)
    assert rule.at(phi).macs == pytest.approx(2**phi)


def test_a_share_of_one_scales_that_dimension_alone():
    assert rule_of(depth=1, width=0, resolution=0) == Rule(alpha=2, beta=1, gamma=1)
    wide = rule_of(depth=0, width=1, resolution=0)
    assert (wide.alpha, wide.beta, wide.gamma) == (1, pytest.approx(math.sqrt(2)), 1)


def test_a_normalized_rule_has_the_same_direction_and_doubles():
    normal = Rule().normalized()
    assert normal.growth == pytest.approx(2)
    phi = math.log(Rule().growth) / math.log(2)
    assert normal.at(phi).depth == pytest.approx(1.2)
    assert normal.at(phi).resolution == pytest.approx(1.15)


@pytest.mark.parametrize("values", [(0.9, 1.1, 1.1), (1, 1, 1), (float("nan"), 1, 1)])
def test_a_rule_that_scales_nothing_or_down_is_refused(values):
    with pytest.raises(NetworkError, match=r"compound rule: .*1\.2, 1\.1 and 1\.15"):
        Rule(alpha=values[0], beta=values[1], gamma=values[2])


@pytest.mark.parametrize("shares", [(0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(NetworkError, match="expected numbers of at least 0"):
        rule_of(depth=shares[0], width=shares[1], resolution=shares[2])


def test_every_network_of_the_five_families_can_be_scaled():
    expected = {name for name, found in CATALOG.items() if found.module in SCALED_MODULES}
    assert set(scalable()) == expected


def test_a_network_without_multipliers_is_refused_and_the_families_named():
    with pytest.raises(NetworkError, match=r"alexnet: cannot be scaled.*vgg, resnet, mobilenet_v1"):
        scaled_arguments("alexnet", Factors())


@pytest.mark.parametrize("network", scalable())
def test_factors_of_one_are_the_papers_network(network):
    net_arguments = scaled_arguments(network, Factors())
    assert net_arguments["input_size"] == CATALOG[network].input_size
    assert net_arguments["width"] >= 1
    assert net_arguments["depth"] >= 1


def test_a_networks_own_width_is_what_is_multiplied():
    found = scaled_arguments("efficientnet_b3", Factors(width=0.5, depth=2, resolution=0.5))
    assert found == {"width": 0.6, "depth": 2.8, "input_size": 152}


def test_another_base_side_is_scaled_instead_of_the_catalogues():
    assert scaled_arguments("vgg11", Factors(), input_size=100)["input_size"] == 100
    found = scaled_arguments("vgg11", Factors(resolution=0.5), input_size=100)
    assert found["input_size"] == 48
    assert scaled_arguments("resnet20", Factors(resolution=0.01))["input_size"] == 8


@pytest.mark.parametrize("network", ["efficientnet_lite0", "mobilenet_v1", "resnet18", "vgg11_bn"])
@pytest.mark.parametrize(
    "factors",
    [Factors(depth=2), Factors(width=1.5), Factors(resolution=1.5), EVEN],
)
def test_multiply_adds_of_real_networks_grow_about_as_the_rule_says(network, factors):
    grown = macs_of(network, factors) / macs_of(network, Factors())
    assert grown == pytest.approx(factors.macs, rel=0.35)
    assert grown > 1.2


def test_the_largest_phi_within_a_budget_is_found_and_was_measured():
    measured = []

    def cost(factors):
        measured.append(factors)
        return 3 * factors.macs

    rule = rule_of(depth=0, width=1, resolution=0)
    phi = largest_phi(rule, cost, budget=2.0, low=-3, high=3)
    assert math.log2(2 / 3) - 0.02 <= phi <= math.log2(2 / 3)
    assert rule.at(phi) in measured
    assert len(measured) < 14


def test_a_budget_beyond_either_end_ends_the_search_at_once():
    rule = Rule()
    assert largest_phi(rule, lambda one: one.macs, budget=1e-6, low=-2, high=2) is None
    assert largest_phi(rule, lambda one: one.macs, budget=1e6, low=-2, high=2) == 2


def test_clipping_keeps_every_factor_within_its_bounds():
    low, high = Factors(depth=0.5, width=0.5, resolution=0.5), Factors(depth=2)
    found = Factors(depth=3, width=0.1, resolution=0.7).clipped(low, high)
    assert found == Factors(depth=2, width=0.5, resolution=0.7)


def test_the_front_has_what_nothing_beats_by_cost():
    points = [(2, 0.7), (1, 0.5), (3, 0.7), (4, 0.9), (1, 0.4), (2, 0.7)]
    front = pareto_front(points, cost=lambda p: p[0], gain=lambda p: p[1])
    assert front == [(1, 0.5), (2, 0.7), (4, 0.9)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_everything_off_the_front_is_beaten_by_something_on_it(points):
    front = pareto_front(points, cost=lambda p: p[0], gain=lambda p: p[1])
    for cost, gain in points:
        assert any(c <= cost and g >= gain for c, g in front)

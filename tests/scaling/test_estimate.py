import pytest

from convforge.analysis.summary import describe
from convforge.networks.catalog import create
from convforge.scaling.estimate import Estimate, size_of
from convforge.scaling.latency import Cost


@pytest.mark.parametrize("network", ["resnet20", "mobilenet_v2", "vgg11", "efficientnet_lite0"])
def test_counts_are_those_of_the_summary(network):
    size = size_of(network, {"num_classes": 10})
    summary = describe(create(network, num_classes=10))
    assert size.macs == summary.macs
    assert size.parameters == summary.parameters


def test_arguments_that_round_to_one_network_have_one_signature():
    one, same, other = (
        size_of("resnet20", {"width": width}).signature for width in (0.5, 0.51, 2.0)
    )
    assert one == same != other
    assert one != size_of("resnet20", {"width": 0.5, "input_size": 24}).signature


def test_an_estimate_is_scaled_from_the_nearest_and_gives_what_was_measured():
    estimate = Estimate()
    sizes = [size_of("resnet20", {"width": width}) for width in (0.5, 1.0, 1.5)]
    small, whole, wide = sizes
    estimate.add(small, Cost(ms=1.0, file_bytes=100_000, macs=small.macs, parameters=1))
    assert estimate.cost(wide).ms == pytest.approx(wide.work / small.work)
    estimate.add(whole, Cost(ms=3.0, file_bytes=500_000, macs=whole.macs, parameters=1))
    assert estimate.cost(small).ms == 1.0
    assert estimate.cost(wide).ms == pytest.approx(3 * wide.work / whole.work)
    grown = 4 * (wide.parameters - whole.parameters)
    assert estimate.cost(wide).file_bytes == 500_000 + grown
    assert estimate.measured(wide) is None

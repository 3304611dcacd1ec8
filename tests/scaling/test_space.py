import pytest

from convforge.analysis.scaling import Factors, Rule
from convforge.errors import InputError, NetworkError
from convforge.scaling.space import (
    LARGEST,
    MIXES,
    SMALLEST,
    mix_at,
    named_mixes,
    smallest_factors,
)


def test_every_named_mix_begins_at_the_papers_network_and_doubles():
    for mix in named_mixes(rule=Rule()):
        assert mix.at(0) == Factors()
        assert mix.at(1).macs == pytest.approx(2)


def test_the_compound_mix_goes_by_the_rule_that_is_given():
    (mix,) = named_mixes(["compound"], rule=Rule(alpha=4, beta=1, gamma=1))
    assert mix.at(1) == Factors(depth=2)


@pytest.mark.parametrize("mix", [*named_mixes(rule=Rule()), mix_at(depth=0.5, resolution=0.7)])
def test_bounds_are_where_the_first_dimension_meets_an_end(mix):
    low, high = mix.bounds(SMALLEST)
    for factors, end in ((mix.at(low), SMALLEST), (mix.at(high), LARGEST)):
        values = [
            (getattr(factors, name), getattr(end, name))
            for name in ("depth", "width", "resolution")
        ]
        assert any(value == pytest.approx(limit) for value, limit in values)
    assert low < 0 < high


def test_a_mix_at_a_place_grows_in_width_alone():
    mix = mix_at(depth=0.5, resolution=0.7)
    assert mix.at(2) == Factors(depth=0.5, width=2.0000000000000004, resolution=0.7)
    assert mix.name == "d0.50 r0.70"


@pytest.mark.parametrize("names", [["wide"], []])
def test_an_unknown_mix_is_refused_and_those_that_are_named(names):
    with pytest.raises(InputError, match="there are compound, width, resolution, depth"):
        named_mixes(names, rule=Rule())
    assert len(named_mixes(["width", "width"], rule=Rule())) == 1
    assert [mix.name for mix in named_mixes(rule=Rule())] == list(MIXES)


def test_the_smallest_input_is_one_that_the_network_takes():
    assert smallest_factors("resnet20") == SMALLEST
    assert smallest_factors("vgg11", input_size=64) == Factors(
        depth=0.25, width=0.25, resolution=0.5
    )


def test_a_network_that_takes_no_such_input_is_refused():
    with pytest.raises(NetworkError, match="smallest that works is 32x32"):
        smallest_factors("vgg11", input_size=24)
    with pytest.raises(NetworkError, match="cannot be scaled"):
        smallest_factors("lenet5")

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from convforge.compiler.backend.memory import plan_memory
from convforge.compiler.backend.schedule import Lifetime
from convforge.compiler.kernels.family import ALIGNMENT

lifetimes = st.tuples(st.integers(0, 12), st.integers(0, 6)).map(lambda t: Lifetime(t[0], sum(t)))
buffers = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.tuples(st.integers(0, 3000), lifetimes),
    max_size=14,
)


def plan_of(drawn):
    sizes = {name: size for name, (size, _) in drawn.items()}
    return plan_memory(sizes, {name: life for name, (_, life) in drawn.items()})


@given(buffers)
def test_buffers_that_are_alive_together_share_no_byte(drawn):
    plan = plan_of(drawn)
    for (a, (size_a, life_a)), (b, (size_b, life_b)) in combinations(drawn.items(), 2):
        if life_a.overlaps(life_b):
            start_a, start_b = plan.offsets[a], plan.offsets[b]
            assert start_a + size_a <= start_b or start_b + size_b <= start_a


@given(buffers)
def test_every_buffer_is_aligned_and_lies_in_the_arena(drawn):
    plan = plan_of(drawn)
    assert plan.offsets.keys() == drawn.keys()
    for name, (size, _) in drawn.items():
        assert plan.offsets[name] % ALIGNMENT == 0
        assert 0 <= plan.offsets[name] <= plan.arena_bytes - size


@given(buffers)
def test_the_arena_lies_between_the_largest_live_set_and_everything_side_by_side(drawn):
    plan = plan_of(drawn)
    padded = {name: -(-size // ALIGNMENT) * ALIGNMENT for name, (size, _) in drawn.items()}
    live = [
        sum(padded[name] for name, (_, life) in drawn.items() if life.first <= t <= life.last)
        for t in range(20)
    ]
    assert plan.lower_bound == max(live)
    assert plan.lower_bound <= plan.arena_bytes <= sum(padded.values())


@given(buffers, st.randoms())
def test_the_order_of_the_buffers_does_not_show(drawn, random):
    shuffled = list(drawn.items())
    random.shuffle(shuffled)
    assert plan_of(dict(shuffled)) == plan_of(drawn)


def test_a_chain_needs_two_neighbours_only():
    sizes = dict.fromkeys("abcdef", 640)
    lives = {name: Lifetime(i, i + 1) for i, name in enumerate("abcdef")}
    plan = plan_memory(sizes, lives)
    assert plan.arena_bytes == plan.lower_bound == 2 * 640


def test_what_fits_goes_into_a_gap():
    lives = {"large": Lifetime(0, 3), "long": Lifetime(2, 6), "small": Lifetime(4, 6)}
    plan = plan_memory({"large": 6400, "long": 128, "small": 64}, lives)
    assert plan.offsets == {"large": 0, "long": 6400, "small": 0}


def test_no_buffers_need_no_arena():
    plan = plan_memory({}, {})
    assert (plan.offsets, plan.arena_bytes, plan.lower_bound) == ({}, 0, 0)

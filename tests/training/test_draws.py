"""Random numbers by their place in the run: the same for the same place, others for any other."""

from __future__ import annotations

import numpy as np

from convforge.training.draws import augmentation, dropout_seed, order


def test_an_order_has_every_row_once_and_depends_on_seed_and_epoch():
    rows = order(100, seed=1, epoch=2)
    assert sorted(rows) == list(range(100))
    np.testing.assert_array_equal(order(100, seed=1, epoch=2), rows)
    assert not np.array_equal(order(100, seed=1, epoch=3), rows)
    assert not np.array_equal(order(100, seed=2, epoch=2), rows)


def test_places_in_a_run_have_numbers_of_their_own():
    places = [
        {"seed": seed, "step": step, "rank": rank}
        for seed in (0, 1, 2**63 - 1)
        for step in (0, 1, 2)
        for rank in (0, 1)
    ]
    drawn = [augmentation(**place).integers(2**62) for place in places]
    seeds = [dropout_seed(**place) for place in places]
    assert len(set(drawn)) == len(set(seeds)) == len(places)
    assert drawn == [augmentation(**place).integers(2**62) for place in places]
    assert seeds == [dropout_seed(**place) for place in places]
    assert all(0 <= seed < 2**63 for seed in seeds)

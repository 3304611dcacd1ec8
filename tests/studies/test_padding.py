import dataclasses

import numpy as np
import pytest

from convforge.studies import padding
from convforge.studies.catalog import CATALOG
from convforge.studies.learning import open_images
from convforge.studies.spread import Spread
from convforge.studies.study import Task


def errors(valid, same):
    """Padding → place → error, of (middle, corner) of two seeds each."""
    return {
        name: {
            "middle": Spread(tuple(middle for middle, _ in found)),
            "corner": Spread(tuple(corner for _, corner in found)),
        }
        for name, found in (("valid", valid), ("same", same))
    }


SHARES = {"valid": 0.01, "same": 0.1}


def test_a_picture_lies_in_the_middle_or_in_every_corner_by_turns():
    images = open_images(CATALOG["padding"], Task(), padding.SIZES["default"])
    middle = padding.on_canvas(images, "middle", side=32)
    corner = padding.on_canvas(images, "corner", side=32)
    for number in range(4):
        inside = middle.splits["test"].load(number)
        moved = corner.splits["test"].load(number)
        assert inside.shape == moved.shape == (32, 32, 3)
        top, left = number // 2 * 16, number % 2 * 16
        picture = inside[8:24, 8:24]
        np.testing.assert_array_equal(moved[top : top + 16, left : left + 16], picture)
        assert moved.sum(dtype=int) == inside.sum(dtype=int) == picture.sum(dtype=int) > 0
    np.testing.assert_array_equal(corner.splits["train"].load(0), middle.splits["train"].load(0))


def test_paths_are_counted_as_by_hand(monkeypatch):
    monkeypatch.setattr(padding, "KERNELS", (3,))
    row = np.array([1, 2, 3, 3, 2, 1]) / 3
    np.testing.assert_allclose(padding.paths("valid", side=6), np.outer(row, row))
    row = np.array([2, 3, 3, 3, 3, 2]) / 3
    np.testing.assert_allclose(padding.paths("same", side=6), np.outer(row, row))
    assert padding.corner_share(padding.paths("valid", side=6)) == pytest.approx(1 / 9)


def test_the_verdicts_follow_from_the_errors():
    found = padding.findings(
        errors(valid=((0.1, 0.5), (0.1, 0.52)), same=((0.1, 0.2), (0.1, 0.21))), SHARES
    )
    assert [one.verdict for one in found] == ["holds"] * 3
    found = padding.findings(
        errors(valid=((0.1, 0.1), (0.1, 0.12)), same=((0.1, 0.4), (0.1, 0.41))),
        {"valid": 0.2, "same": 0.1},
    )
    assert [one.verdict for one in found] == ["does not hold"] * 3


def test_it_runs_and_asks_at_both_places(task):
    result = padding.run(CATALOG["padding"], dataclasses.replace(task, count=64))
    assert [row[0] for row in result.rows] == ["valid", "same"]
    for row in result.rows:
        middle, corner, gap = row[1:4]
        assert gap.values == pytest.approx(np.subtract(corner.values, middle.values))
    assert result.findings[0].verdict == "holds"
    assert [panel.ticks for panel in result.panels] == [(), ("middle", "corner")]

"""The chapter on scaling: its commands exist, its Python gives that, its numbers are the code's."""

import re

import pytest

from convforge.scaling import budget, plan, trials
from convforge.scaling.space import MIXES, SMALLEST


@pytest.fixture(scope="module")
def chapter(repository):
    return (repository / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_commands_exist(chapter, commands_in, parse_command):
    found = [parse_command(words)[0] for words in commands_in(chapter) if len(words) > 1]
    assert set(found) == {"scale"}


def test_its_python_gives_what_stands_beside_it(chapter, run_python):
    assert run_python(chapter) == 6


def test_mixes_and_numbers_are_those_of_the_code(chapter):
    rows = re.findall(r"^ +\| (`.*?`) \|", chapter, re.MULTILINE)
    assert tuple(re.findall(r"`(.*?)`", " ".join(rows))) == MIXES
    assert f"at most {100 * budget.AIM:.0f} % of the budget" in chapter
    assert (SMALLEST.depth, SMALLEST.width, SMALLEST.resolution) == (0.25,) * 3
    assert "a quarter of depth, width and resolution" in chapter
    assert (plan.KEEP, plan.PROPOSALS, trials.SET_ASIDE) == (3, 3, 0.2)
    assert "the best third of them again for three times as long" in chapter
    assert (plan.FEWEST_STEPS, plan.WORTH) == (100, 0.1)
    assert "Where 100 steps of two would cost more than a tenth of the winner's training" in chapter
    assert "a fifth of the images to train on" in chapter
    assert pytest.approx(1 / 3, abs=0.02) == plan.SHARE
    assert "about a third is for the search" in chapter

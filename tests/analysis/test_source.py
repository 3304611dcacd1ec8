import pytest

from convforge.analysis.source import deviations_in, source_of
from convforge.networks import catalog

NOTES = """Two networks.

`one`, `two` and `three`, from a paper. Deviations: ones,
over two lines.

    a table

Still about them.

`four`, another. Deviations from it: fours.
"""


def test_deviations_go_to_the_networks_that_their_paragraph_names():
    assert deviations_in(NOTES, "two") == "ones, over two lines."
    assert deviations_in(NOTES, "four") == "fours."
    assert deviations_in(NOTES, "five") == ""


def test_a_paragraph_that_begins_with_deviations_speaks_of_every_network():
    notes = "`one`, a network.\n\nDeviations: none."
    assert deviations_in(notes, "two") == "none."


@pytest.mark.parametrize("name", catalog.names())
def test_every_network_of_the_catalogue_has_a_source(name):
    source = source_of(name)
    assert source.paper == catalog.entry(name).paper
    assert source.parameters == catalog.entry(name).parameters
    assert source.notes


def test_lenet5_and_its_modern_form_do_not_share_deviations():
    assert "digits" in source_of("lenet5").deviations
    assert "digits" not in source_of("lenet5_relu").deviations


def test_a_network_outside_the_catalogue_has_none():
    assert source_of("Sequential") is None

"""Catalogue networks and their summaries, made once for all tests, on torch's meta device."""

import functools

import pytest
import torch

from convforge.analysis.summary import describe
from convforge.networks import catalog


@pytest.fixture(scope="session")
def on_meta():
    """`on_meta(name)`: the network, in evaluation mode."""

    @functools.cache
    def build(name):
        with torch.device("meta"):
            return catalog.create(name).eval()

    return build


@pytest.fixture(scope="session")
def summary_of(on_meta):
    """`summary_of(name)`: its summary."""
    return functools.cache(lambda name: describe(on_meta(name)))

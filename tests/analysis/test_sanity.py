from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from convforge.analysis import gradients, sanity
from convforge.analysis.explanation import explain
from convforge.analysis.sanity import DRAWS, LIMIT, Sanity, check_sanity, rank_correlation
from convforge.classifier import Classifier
from convforge.errors import InputError
from convforge.loading import load


@pytest.mark.parametrize("levels", [3, 10_000])
def test_the_rank_correlation_is_scipys_with_and_without_ties(levels):
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, levels, (2, 7, 9)).astype(np.float32)
    b += a // 2
    expected = spearmanr(a.reshape(-1), b.reshape(-1)).statistic
    assert rank_correlation(a, b) == pytest.approx(expected, abs=1e-12)
    assert rank_correlation(a, a) == pytest.approx(1)
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a, np.exp(a / levels)) == pytest.approx(1)


def test_a_flat_map_has_no_correlation():
    flat, other = np.zeros((3, 3), np.float32), np.arange(9, dtype=np.float32).reshape(3, 3)
    assert rank_correlation(flat, other) is None
    assert rank_correlation(other, flat) is None


def test_grad_cam_of_a_trained_network_passes_and_is_the_same_again(trained, scans):
    found = explain(trained, scans[0])
    state = torch.random.get_rng_state()
    result = check_sanity(trained, found)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(result.values) == len(result.magnitudes) == DRAWS
    assert result.passed, result
    assert "depends on what the network learned" in result.verdict
    assert check_sanity(trained, found) == result
    assert result.to_json()["passed"] is True


def test_integrated_gradients_of_random_networks_need_not_add_up(trained, scans, monkeypatch):
    found = explain(trained, scans[0], method="integrated-gradients")
    monkeypatch.setattr(gradients, "STEPS", ())
    result = check_sanity(trained, found)
    assert None not in result.values


def test_the_networks_it_is_compared_with_have_other_weights(trained, scans, monkeypatch):
    seen = []

    def watch(model, image, **_):
        seen.append(model)
        return np.random.default_rng(len(seen)).random((5, 5)).astype(np.float32), None

    found = explain(trained, scans[0])
    monkeypatch.setattr(sanity, "compute_values", watch)
    check_sanity(trained, found)
    weights = [model.net.head.linear1.weight for model in (trained, *seen)]
    assert len(seen) == DRAWS
    assert not any(torch.equal(a, b) for i, a in enumerate(weights) for b in weights[:i])
    assert not any(model.net.training for model in seen)


def test_a_method_that_draws_the_picture_whatever_the_weights_is_found_out(
    trained, scans, monkeypatch
):
    def edges(model, image, **_):
        grey = model.preprocess.pixels(image)[..., 0].astype(np.float32)
        return np.abs(np.diff(grey, axis=0)), None

    found = explain(trained, scans[0])
    found = replace(found, values=edges(trained, found.image)[0])
    monkeypatch.setattr(sanity, "compute_values", edges)
    result = check_sanity(trained, found)
    assert (result.correlation, result.passed) == (pytest.approx(1), False)
    assert "shows the picture more" in result.verdict


def test_of_values_and_magnitudes_the_more_alike_decides():
    assert Sanity(values=(0.1, 0.3), magnitudes=(0.7, 0.9)).correlation == pytest.approx(0.8)
    assert Sanity(values=(-0.9, -0.7), magnitudes=(0.1, None)).correlation == pytest.approx(-0.8)
    assert Sanity(values=(-0.9,), magnitudes=(0.1,)).passed is False
    assert Sanity(values=(LIMIT - 0.01,), magnitudes=(None,)).passed is True


def test_where_the_map_is_flat_nothing_can_be_told(make_classifier, picture):
    classifier = make_classifier("lenet5")
    result = check_sanity(classifier, explain(classifier, picture))
    assert result.values == (None,) * DRAWS
    assert result.passed is None
    assert "cannot be told" in result.verdict


def test_progress_is_told(trained, scans):
    told = []
    check_sanity(trained, explain(trained, scans[0]), progress=lambda *one: told.append(one[:2]))
    assert told == [(done, DRAWS) for done in range(DRAWS)]


def test_an_artifact_is_refused(trained, artifact_file, scans):
    with pytest.raises(InputError, match="a compiled artifact, and a classifier is needed"):
        check_sanity(load(artifact_file), explain(trained, scans[0]))


def test_a_network_that_is_not_of_the_catalogue_is_refused(trained, scans):
    bare = Classifier(trained.net, replace(trained.card, network="", arguments={}))
    with pytest.raises(InputError, match="not of the catalogue"):
        check_sanity(bare, explain(bare, scans[0]))

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from convforge.analysis.maps import MAPS_SHOWN, feature_maps, first_filters
from convforge.errors import DataError, InputError
from convforge.images.picture import decode
from convforge.images.preprocess import Preprocess
from convforge.loading import load

RGB = Preprocess(resize=(32, 32), crop=(32, 32), mean=(128.0,) * 3, std=(64.0,) * 3)


def test_filters_are_the_weights_of_the_first_convolution(trained, make_classifier):
    found = first_filters(trained)
    assert found.layer == "features.conv1"
    np.testing.assert_array_equal(found.weights, trained.net.features.conv1.weight.detach())
    colour = first_filters(make_classifier("resnet20", preprocess=RGB))
    assert colour.layer == "features.conv1.conv"
    assert colour.weights.shape == (16, 3, 3, 3)
    assert json.loads(json.dumps(colour.to_json()))["shape"] == [16, 3, 3, 3]


def test_maps_are_those_of_every_stage_the_strongest_first(trained, scans):
    found = feature_maps(trained, scans[0])
    assert [(one.name, one.channels, one.maps.shape[1:]) for one in found.stages] == [
        ("features.relu1", 6, (28, 28)),
        ("features.pool1", 6, (14, 14)),
        ("features.relu2", 16, (10, 10)),
        ("features.pool2", 16, (5, 5)),
    ]
    x = torch.from_numpy(trained.preprocess(decode(scans[0]))[None])
    with torch.no_grad():
        last = trained.net.features(x)[0].numpy()
    stage = found.stages[-1]
    np.testing.assert_array_equal(stage.maps, last[list(stage.places)])
    strength = np.abs(last).mean(axis=(1, 2))
    assert len(stage.places) == MAPS_SHOWN
    assert list(strength[list(stage.places)]) == sorted(strength, reverse=True)[:MAPS_SHOWN]
    np.testing.assert_array_equal(found.seen, trained.preprocess.pixels(decode(scans[0])))
    assert json.loads(json.dumps(found.to_json()))["stages"][3]["shape"] == [16, 5, 5]


def test_artifacts_are_refused(artifact_file, picture):
    model = load(artifact_file)
    for show in (first_filters, lambda one: feature_maps(one, picture)):
        with pytest.raises(InputError, match=r"digits\.so: a compiled artifact, .* compiled from"):
            show(model)


def test_a_network_without_convolutions_is_refused(make_classifier):
    classifier = make_classifier()
    classifier.net.features = nn.Sequential(nn.ReLU())
    with pytest.raises(InputError, match="no convolution"):
        first_filters(classifier)


def test_an_image_that_cannot_be_read_is_refused(trained, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        feature_maps(trained, tmp_path / "gone.png")

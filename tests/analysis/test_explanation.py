from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage import data

import convforge as cf
from convforge.analysis import explanation
from convforge.analysis.explanation import (
    METHODS,
    NO_PATCH,
    ONE_PLACE,
    choose_method,
    explain,
    find_class,
)
from convforge.classifier import Classifier
from convforge.compiler.compilation import compile as build
from convforge.errors import DataError, InputError
from convforge.images.picture import decode
from convforge.loading import load
from convforge.prediction import Prediction


@pytest.mark.parametrize("method", METHODS)
def test_the_models_answer_is_explained(trained, scans, method):
    found = explain(trained, scans[0], method=method)
    (answer,) = trained.predict(scans[0], top=1)
    assert (found.method, found.target, found.best) == (method, answer, answer)
    assert found.values.dtype == np.float32
    assert found.heat.min() >= 0
    assert found.heat.max() > 0
    np.testing.assert_array_equal(found.heat, np.maximum(found.values, 0))
    np.testing.assert_array_equal(found.seen, trained.preprocess.pixels(decode(scans[0])))
    sizes = {"grad-cam": (5, 5), "integrated-gradients": (32, 32), "occlusion": (9, 9)}
    assert found.values.shape == sizes[method]
    assert (found.completeness is None) == (method != "integrated-gradients")
    assert found.notes == ()


def test_artifacts_are_explained_as_their_classifiers(trained, artifact_file, scans):
    for scan in scans:
        expected, found = explain(trained, scan), explain(load(artifact_file), scan)
        assert expected.method == found.method == "grad-cam"
        assert found.target.label == expected.target.label
        limit = 0.01 * np.abs(expected.values).max()  # the head is moved, and bends a little
        np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=limit)


def test_artifacts_whose_maps_have_one_place_are_covered(make_classifier, tmp_path):
    build(make_classifier("lenet5"), tmp_path / "lenet5.so")
    artifact = load(tmp_path / "lenet5.so")
    assert artifact.grad_cam_shape == (1, 1)
    assert choose_method(artifact, None) == "occlusion"
    assert choose_method(artifact, "grad-cam") == "grad-cam"


def test_an_artifact_is_explained_without_torch(python, artifact_file, scans):
    said = python(
        "import sys, convforge\n"
        "found = convforge.explain(convforge.load(sys.argv[1], workers=2), sys.argv[2])\n"
        "found.save(sys.argv[3])\n"
        "print(found.target.label, 'torch' in sys.modules)",
        artifact_file,
        scans[0],
        scans[0].with_name("why.svg"),
    )
    assert said == f"{load(artifact_file).predict(scans[0])[0].label} False\n"


def test_another_class_can_be_asked_for_by_name_or_number(trained, scans):
    by_name, by_number = (explain(trained, scans[0], target=target) for target in ("3", 3))
    assert by_name.target == by_number.target
    assert (by_name.target.label, by_name.target.index) == ("3", 3)
    assert by_name.best == trained.predict(scans[0])[0]
    np.testing.assert_array_equal(by_name.values, by_number.values)
    assert not np.array_equal(by_name.values, explain(trained, scans[0], target=5).values)


def test_classes_are_found_by_name_then_by_number():
    assert find_class("cat", ("dog", "cat")) == 1
    assert find_class("1", ("1", "0")) == 0
    assert find_class("2", ("crane", "cat", "crane")) == 2


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("caat", r"no class 'caat'; did you mean 'cat'\?"),
        ("CRANE", r"no class 'CRANE'; did you mean 'crane'"),
        ("zzz", r"no class 'zzz'; there are 3: 'cat', 'crane', 'crane'"),
        ("crane", r"2 classes are named 'crane'; give the class's number, one of 1, 2"),
        ("3", r"no class 3; the 3 classes are numbered 0 to 2"),
        (-1, r"no class -1"),
    ],
)
def test_an_unknown_class_is_refused(target, words):
    with pytest.raises(InputError, match=words):
        find_class(target, ("cat", "crane", "crane"))


def test_an_unknown_method_is_refused(trained, scans):
    with pytest.raises(InputError, match="no method 'gradcam'; there are grad-cam, integrated-gra"):
        explain(trained, scans[0], method="gradcam")


def test_gradients_of_an_artifact_are_refused_with_what_to_do(artifact_file, scans):
    with pytest.raises(
        InputError, match=r"digits\.so: .*integrated-gradients need gradients; grad"
    ):
        explain(load(artifact_file), scans[0], method="integrated-gradients")


@pytest.mark.parametrize("model", ["digits.safetensors", torch.nn.Conv2d(1, 1, 1), None])
def test_what_is_no_model_is_refused(model, picture):
    with pytest.raises(InputError, match=rf"got a {type(model).__name__}; expected a Classifier"):
        explain(model, picture)


def test_an_image_that_cannot_be_read_is_refused(trained, tmp_path):
    with pytest.raises(DataError, match=r"gone\.png: no such file"):
        explain(trained, tmp_path / "gone.png")


def test_maps_of_one_place_are_said_to_tell_nothing(make_classifier, picture):
    found = explain(make_classifier("lenet5"), picture)
    assert found.values.shape == (1, 1)
    assert found.notes == (ONE_PLACE,)


def made(values, method="occlusion"):
    one = Prediction("cat", 0, 0.9)
    return explanation.Explanation(
        method=method,
        target=one,
        best=one,
        image=np.zeros((4, 4, 3), np.uint8),
        seen=np.zeros((4, 4, 3), np.uint8),
        values=np.asarray(values, np.float32),
    )


def test_what_speaks_for_nothing_is_said():
    (note,) = made([[-1, 0], [0, -2]], "grad-cam").notes
    assert note == "nothing on the picture speaks for 'cat' by grad-cam"
    assert made([[0.009, 0.0]]).notes == (NO_PATCH,)
    assert made([[0.02, 0.0]]).notes == ()


def test_the_warmest_place_is_in_shares_of_the_picture():
    assert made([[0, 0, 0, 1], [0, 0, 0, 0]]).warmest == (0.875, 0.25)
    values = np.zeros((224, 100))
    values[0, 0] = 2  # a lone pixel says less than a block
    values[112:119, 48:52] = 1
    x, y = made(values, "integrated-gradients").warmest
    assert x == pytest.approx(0.5, abs=0.02)
    assert y == pytest.approx(0.515, abs=0.02)


def test_json_has_the_heat_of_few_cells(trained, scans):
    few = explain(trained, scans[0]).to_json()
    many = made(np.ones((40, 40)), "integrated-gradients").to_json()
    for record in (few, many):
        assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert np.shape(few["heat"]) == (5, 5)
    assert many["heat"] is None
    assert few["target"]["label"] == few["best"]["label"]
    complete = explain(trained, scans[0], method="integrated-gradients").to_json()["completeness"]
    assert complete["error"] <= complete["limit"]


# ------------------------------------------------------------------------------- a real photograph


@pytest.fixture(scope="module")
def squeezed():
    """A network of ImageNet that sees all of a wide picture."""
    found = cf.load_pretrained("efficientnet_lite0")
    preprocess = replace(found.preprocess, resize=(224, 224), crop=(224, 224))
    return Classifier(found.net, replace(found.card, preprocess=preprocess))


@pytest.fixture(scope="module")
def cup_and_cat():
    """A cup of coffee in the left half, a cat's face in the right."""
    cup, cat = data.coffee()[50:350, 100:400], data.chelsea()[:, 60:360]
    return np.ascontiguousarray(np.concatenate([cup, cat], axis=1))


def test_the_evidence_for_a_cat_lies_on_the_cat_and_for_a_cup_on_the_cup(squeezed, cup_and_cat):
    shares = []
    for target in ("Egyptian cat", "espresso"):
        heat = explain(squeezed, cup_and_cat, target=target).heat
        # The column in the middle is both's.
        shares.append(float(heat[:, heat.shape[1] // 2 + 1 :].sum() / heat.sum()))
    assert shares[0] > 0.8
    assert shares[1] < 0.1

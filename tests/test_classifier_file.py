"""The file of a classifier: what comes back, how it is written, what is refused."""

from __future__ import annotations

import json
import os
import stat

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from convforge import classifier as classifier_module
from convforge.card import FORMAT, Card
from convforge.classifier import MAX_HEADER_BYTES, Classifier
from convforge.errors import ClassifierError, OutputError


@pytest.fixture(scope="module")
def classifier(make_classifier):
    return make_classifier()


@pytest.fixture
def saved(classifier, tmp_path):
    path = tmp_path / "digits.safetensors"
    classifier.save(path)
    return path


def read_header(path):
    """The header's metadata: its one value, read as JSON."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["convforge"])


def rewrite(path, **fields):
    """The file again with other fields of its card, and the checksum that is then right."""
    weights = load_file(path)
    header = {**read_header(path), **fields}
    del header["sha256"]
    header["sha256"] = classifier_module._digest(header, weights)
    save_file(weights, path, metadata={"convforge": json.dumps(header)})


@pytest.mark.parametrize("network", ["lenet5", "lenet5_relu"])
def test_a_saved_classifier_comes_back_equal(make_classifier, network, picture, tmp_path):
    original = make_classifier(network)
    original.save(tmp_path / "c.safetensors")
    loaded = Classifier.load(str(tmp_path / "c.safetensors"))
    assert loaded.card == original.card
    assert loaded.predict(picture) == original.predict(picture)
    for name, tensor in original.net.state_dict().items():
        assert torch.equal(loaded.net.state_dict()[name], tensor), name
    assert not loaded.net.training


def test_the_same_classifier_gives_the_same_bytes(classifier, tmp_path):
    classifier.save(tmp_path / "a")
    Classifier.load(tmp_path / "a").save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_card_is_in_the_header_of_a_file_that_safetensors_reads(classifier, saved):
    text = json.dumps(read_header(saved))
    assert Card.loads(text, origin="", error=ClassifierError) == classifier.card
    assert set(load_file(saved)) == set(classifier.net.state_dict())


def test_loading_leaves_the_callers_random_numbers_alone(saved):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Classifier.load(saved)
    assert torch.equal(torch.rand(3), expected)


def test_saving_replaces_a_file_and_leaves_no_other(classifier, saved):
    saved.write_text("old")
    classifier.save(saved)
    Classifier.load(saved)
    assert list(saved.parent.iterdir()) == [saved]


def test_a_saved_file_has_the_permissions_of_any_new_file(saved):
    plain = saved.with_name("plain")
    plain.touch()
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_an_interrupted_save_leaves_the_old_file_and_no_other(classifier, saved, monkeypatch):
    before = saved.read_bytes()

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        classifier.save(saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("where", ["absent/c.safetensors", "file/c.safetensors", "folder", "."])
def test_a_place_that_cannot_be_written_is_refused_naming_it(
    classifier, tmp_path, monkeypatch, where
):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=where):
        classifier.save(where)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(classifier, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="choose a folder that exists and that you may write to"):
        classifier.save(tmp_path / "c.safetensors")


# ------------------------------------------------------------------------------------- refusals


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ClassifierError, match=r"absent.*cannot be read \(No such file"):
        Classifier.load(tmp_path / "absent")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ClassifierError, match="cannot be read"):
        Classifier.load(tmp_path)


@pytest.mark.parametrize("share", [0, 0.00001, 0.0001, 0.001, 0.1, 0.5, 0.99999])
def test_a_file_that_is_cut_short_is_refused_saying_what_to_do(saved, share):
    raw = saved.read_bytes()
    saved.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(ClassifierError, match=r"not a classifier file|cut short") as caught:
        Classifier.load(saved)
    assert str(saved) in str(caught.value)


def test_a_file_with_more_bytes_than_it_should_have_is_refused(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(ClassifierError, match="damaged"):
        Classifier.load(saved)


def test_text_named_as_a_classifier_is_refused(saved):
    saved.write_text("this is a text, and a text is not a classifier\n" * 100)
    with pytest.raises(ClassifierError, match="not a classifier file"):
        Classifier.load(saved)


def test_a_huge_header_is_refused_before_it_is_read(saved):
    saved.write_bytes((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{" * 100)
    with pytest.raises(ClassifierError, match=f"up to {MAX_HEADER_BYTES}"):
        Classifier.load(saved)


def test_weights_without_a_card_are_refused(classifier, saved):
    save_file(classifier.net.state_dict(), saved)
    with pytest.raises(ClassifierError, match="without convforge's card"):
        Classifier.load(saved)


def test_one_changed_bit_of_the_weights_is_refused(saved):
    raw = bytearray(saved.read_bytes())
    raw[-1000] ^= 1
    saved.write_bytes(raw)
    with pytest.raises(ClassifierError, match="not what was saved"):
        Classifier.load(saved)


def test_a_changed_bit_anywhere_is_refused_unless_it_changes_no_meaning(classifier, saved):
    rng = np.random.default_rng(6)
    raw = saved.read_bytes()
    header = 8 + int.from_bytes(raw[:8], "little")
    places = [*range(8), *rng.integers(8, header, 150), *rng.integers(header, len(raw), 10)]
    refused = 0
    for place in places:
        damaged = bytearray(raw)
        damaged[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(damaged)
        try:
            loaded = Classifier.load(saved)
        except ClassifierError:
            refused += 1
        else:  # 1e-5 became 1E-5
            assert loaded.card == classifier.card
    assert refused >= 0.95 * len(places)


def test_a_card_of_another_format_is_refused_naming_both(saved):
    rewrite(saved, format=FORMAT + 1)
    with pytest.raises(ClassifierError, match=f"format {FORMAT + 1}, this convforge reads"):
        Classifier.load(saved)


def test_a_card_nested_without_end_is_refused(saved):
    text = '{"format":' + "[" * 100_000
    save_file(load_file(saved), saved, metadata={"convforge": text})
    with pytest.raises(ClassifierError, match="its card is damaged"):
        Classifier.load(saved)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"network": "lenet6"}, "lenet6"),
        ({"network": ""}, "cannot be built"),
        ({"arguments": {"depth": 3}}, "depth"),
        ({"arguments": {"num_classes": "ten"}}, "num_classes"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_saying_why(saved, fields, reason):
    rewrite(saved, **fields)
    with pytest.raises(ClassifierError, match="cannot be built") as caught:
        Classifier.load(saved)
    assert reason in str(caught.value)
    assert str(saved) in str(caught.value)


def test_a_card_with_fewer_class_names_than_logits_is_refused_naming_the_file(saved):
    rewrite(saved, classes=["a", "b"])
    with pytest.raises(ClassifierError, match=r"digits\.safetensors.*names 2 classes"):
        Classifier.load(saved)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda w, key: w.pop(key), "expected float32 [10], got absent"),
        (
            lambda w, key: w.update({key: w[key][:4].clone()}),
            "expected float32 [10], got float32 [4]",
        ),
        (lambda w, key: w.update({key: w[key].half()}), "expected float32 [10], got float16 [10]"),
        (lambda w, key: w.update({"extra": w[key].clone()}), "extra: expected absent, got float32"),
    ],
    ids=["missing", "shape", "type", "unknown"],
)
def test_weights_that_do_not_fit_the_network_are_refused_naming_them(
    make_classifier, classifier, tmp_path, change, expected
):
    other = make_classifier()
    weights = dict(other.net.state_dict())
    key = list(weights)[-1]
    change(weights, key)
    path = tmp_path / "c.safetensors"
    other.net.state_dict = lambda: weights
    other.save(path)
    with pytest.raises(ClassifierError, match="weights do not fit") as caught:
        Classifier.load(path)
    assert expected in str(caught.value)
    assert ("extra" if "extra" in expected else key) in str(caught.value)


def test_of_many_weights_that_do_not_fit_the_first_three_are_named(make_classifier, tmp_path):
    five = make_classifier(classes=tuple("abcde"))
    other = make_classifier("lenet5", classes=tuple("abcde"))
    five.net.state_dict = other.net.state_dict
    five.save(tmp_path / "c.safetensors")
    with pytest.raises(ClassifierError, match=r"(: expected .*){3}, and \d+ more"):
        Classifier.load(tmp_path / "c.safetensors")

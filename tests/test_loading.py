from __future__ import annotations

import sys
from pathlib import Path

import pytest

from convforge.classifier import Classifier
from convforge.errors import ArtifactError, ClassifierError, DataError, InputError, PackageError
from convforge.loading import load
from convforge.runtime import Runtime
from convforge.seal import ABI, seal


def test_a_file_is_told_by_its_bytes_not_by_its_name(classifier_file, artifact_file, tmp_path):
    (tmp_path / "a.so").write_bytes(classifier_file.read_bytes())
    (tmp_path / "b.safetensors").write_bytes(artifact_file.read_bytes())
    assert isinstance(load(tmp_path / "a.so"), Classifier)
    assert isinstance(load(tmp_path / "b.safetensors"), Runtime)


def test_a_path_may_be_a_string(artifact_file):
    assert isinstance(load(str(artifact_file)), Runtime)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = tmp_path if kind == "folder" else tmp_path / "gone.so"
    with pytest.raises(InputError, match="no such file; expected a classifier"):
        load(path)


@pytest.mark.parametrize("keep", [0.001, 0.5, 0.99])
def test_an_artifact_that_was_cut_is_refused_as_one(artifact_file, tmp_path, keep):
    raw = artifact_file.read_bytes()
    (tmp_path / "cut.so").write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(ArtifactError, match=r"cut\.so: .*cut short"):
        load(tmp_path / "cut.so")


def test_an_artifact_that_lost_its_beginning_is_refused_as_one(artifact_file, tmp_path):
    (tmp_path / "cut.so").write_bytes(artifact_file.read_bytes()[1000:])
    with pytest.raises(ArtifactError, match=r"cut\.so: damaged"):
        load(tmp_path / "cut.so")


def test_an_artifact_with_a_flipped_byte_is_refused(artifact_file, tmp_path):
    raw = bytearray(artifact_file.read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "net.so").write_bytes(raw)
    with pytest.raises(ArtifactError, match=r"net\.so: damaged"):
        load(tmp_path / "net.so")


def test_an_artifact_of_another_version_is_refused(artifact_file, tmp_path):
    library = artifact_file.read_bytes()[:-32]
    (tmp_path / "net.so").write_bytes(seal(library, version=ABI + 1))
    with pytest.raises(ArtifactError, match=f"version {ABI + 1} .*version {ABI}"):
        load(tmp_path / "net.so")


def test_somebody_elses_library_is_refused(tmp_path):
    library = next(Path(sys.prefix).rglob("*.so"))
    (tmp_path / "other.so").write_bytes(library.read_bytes())
    with pytest.raises(ArtifactError, match=r"other\.so: not a convforge artifact"):
        load(tmp_path / "other.so")


@pytest.mark.parametrize("keep", [0, 5, 0.1, 0.5, 0.99])
def test_a_classifier_that_was_cut_is_refused_as_one(classifier_file, tmp_path, keep):
    raw = classifier_file.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(raw[: int(len(raw) * keep) if keep < 1 else keep])
    with pytest.raises(ClassifierError, match=r"cut\.safetensors"):
        load(tmp_path / "cut.safetensors")


@pytest.mark.parametrize("content", [b"not a model\n" * 100, b"\0" * 200, b"PK\x03\x04" * 50])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "notes.txt").write_bytes(content)
    with pytest.raises(ClassifierError, match=r"notes\.txt"):
        load(tmp_path / "notes.txt")


def test_a_file_that_may_not_be_read_is_refused(artifact_file, monkeypatch):
    def forbid(*_arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.raises(InputError, match=r"cannot be read .Permission denied"):
        load(artifact_file)


def test_a_classifier_without_torch_is_refused_with_the_extra(
    classifier_file, artifact_file, monkeypatch
):
    monkeypatch.delitem(sys.modules, "convforge.classifier")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(PackageError, match=r"needs torch .*`pip install \"convforge\[train\]\"`"):
        load(classifier_file)
    assert isinstance(load(artifact_file), Runtime)


@pytest.mark.parametrize("given", [1, None, [[0.5]], "cat.jpg"])
def test_what_is_no_array_is_refused_by_both(classifier_file, artifact_file, given):
    words = f"no numpy array but {type(given).__name__}"
    artifact, classifier = load(artifact_file), load(classifier_file)
    for compute in (artifact.logits, artifact.run, classifier.logits):
        with pytest.raises(InputError, match=words):
            compute(given)
    with pytest.raises(DataError, match=words):
        artifact.probabilities([given])

"""The C interface as Python has it."""

import ctypes

import pytest

from convforge.errors import ArtifactError
from convforge.library import layers_of, open_library, shape_of
from convforge.seal import seal


def test_lengths_end_before_the_nought(artifact_file):
    library = open_library(artifact_file)
    assert shape_of(library.cf_input_shape()) == (1, 1, 32, 32)
    assert shape_of(library.cf_grad_cam_shape()) == (5, 5)


def test_layers_are_told_once_each(artifact_file):
    layers = layers_of(open_library(artifact_file))
    assert layers[-1].gives == (1, 10)
    assert len({layer.name for layer in layers}) == len(layers)


def test_what_cannot_be_loaded_is_refused(tmp_path):
    path = tmp_path / "text.so"
    path.write_bytes(seal(b"no library at all"))
    with pytest.raises(ArtifactError, match=r"text\.so: built for another machine"):
        open_library(path)


def test_the_same_file_is_loaded_once_however_often_it_is_opened(artifact_file):
    places = {
        ctypes.cast(open_library(artifact_file).cf_run, ctypes.c_void_p).value for _ in range(40)
    }
    assert len(places) == 1

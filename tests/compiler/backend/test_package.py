from __future__ import annotations

import pytest

from convforge.compiler.backend.package import save_artifact
from convforge.errors import OutputError
from convforge.seal import check_seal


def test_the_library_is_written_under_its_seal(tmp_path):
    path = tmp_path / "net.so"
    save_artifact(b"library", path)
    check_seal(path)
    assert path.read_bytes().startswith(b"library")
    assert [file.name for file in tmp_path.iterdir()] == ["net.so"]


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        save_artifact(b"library", tmp_path / "nowhere" / "net.so")

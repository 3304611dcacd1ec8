from __future__ import annotations

import zipfile

import pytest

from convforge.compiler.backend.archive import write_zip
from convforge.errors import OutputError


def test_an_archive_holds_bytes_and_files(tmp_path):
    (tmp_path / "large").write_bytes(bytes(range(256)) * 8192)  # more than one piece
    entries = {"a/text.txt": b"text", "large.bin": tmp_path / "large", "empty": b""}
    write_zip(tmp_path / "one.zip", entries)
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(entries)
        assert archive.read("a/text.txt") == b"text"
        assert archive.read("large.bin") == (tmp_path / "large").read_bytes()
        assert archive.read("empty") == b""


def test_the_same_content_gives_the_same_bytes(tmp_path, monkeypatch):
    for name in ("one.zip", "two.zip"):
        monkeypatch.setattr("time.localtime", lambda *_: pytest.fail("no clock"))
        write_zip(tmp_path / name, {"text.txt": b"text"})
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        write_zip(tmp_path / "nowhere" / "one.zip", {})

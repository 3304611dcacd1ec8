"""Files are written in one piece, and what cannot be written is refused before the work."""

import os
from pathlib import Path

import pytest

from convforge.errors import OutputError
from convforge.files import cache_folder, check_destination, write_file


def test_a_file_is_replaced_once_the_new_one_is_complete(tmp_path):
    path = tmp_path / "cats.so"
    path.write_bytes(b"old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["cats.so"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "cats.so"
    path.write_bytes(b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["cats.so"]


@pytest.mark.parametrize("check", [check_destination, lambda path: write_file(path, b"")])
def test_a_destination_that_cannot_be_written_is_refused_by_name(tmp_path, check):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"missing.*create it first"):
        check(tmp_path / "missing" / "cats.so")
    with pytest.raises(OutputError, match="is a folder"):
        check(tmp_path)
    with pytest.raises(OutputError, match="does not exist"):
        check(tmp_path / "file" / "cats.so")


def test_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="pipe: is a device or a pipe; name a file"):
        write_file(tmp_path / "pipe", b"")
    assert (tmp_path / "pipe").is_fifo()


def test_a_folder_that_takes_no_files_is_refused_by_name():
    # The kernel's own folder refuses new files even to a superuser.
    with pytest.raises(OutputError, match=r"/proc.*cannot be written"):
        check_destination(Path("/proc/cats.so"))


def test_the_cache_is_in_the_home_folder_where_nothing_else_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "convforge"


def test_a_file_may_come_in_pieces(tmp_path):
    write_file(tmp_path / "cats.so", (piece for piece in (b"ca", b"", b"ts")))
    assert (tmp_path / "cats.so").read_bytes() == b"cats"


def test_a_file_whose_pieces_end_early_is_not_written(tmp_path):
    def pieces():
        yield b"ca"
        raise OSError(5, "Input/output error")

    with pytest.raises(OutputError, match="Input/output error"):
        write_file(tmp_path / "cats.so", pieces())
    assert list(tmp_path.iterdir()) == []

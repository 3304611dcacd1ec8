from __future__ import annotations

import struct
import zlib

import pytest

from convforge import seal as seal_module
from convforge.errors import ArtifactError
from convforge.seal import ABI, check_seal, is_sealed, seal

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def sealed(tmp_path):
    path = tmp_path / "net.so"
    path.write_bytes(seal(CONTENT))
    return path


def test_a_seal_follows_the_content_as_the_module_says(sealed):
    raw = sealed.read_bytes()
    assert raw.startswith(CONTENT)
    magic, version, checksum, length = struct.unpack("<16sIIQ", raw[len(CONTENT) :])
    assert (magic, version) == (b"convforge-so\0\0\0\0", ABI)
    assert (length, checksum) == (len(CONTENT), zlib.crc32(CONTENT))


def test_what_was_sealed_is_whole(sealed):
    check_seal(sealed)
    assert is_sealed(sealed)


@pytest.mark.parametrize("piece", [1, 7, len(CONTENT) - 1, len(CONTENT), len(CONTENT) + 1])
def test_the_checksum_does_not_depend_on_the_pieces_it_is_read_in(sealed, monkeypatch, piece):
    monkeypatch.setattr(seal_module, "_PIECE", piece)
    check_seal(sealed)


def test_nothing_can_be_sealed(tmp_path):
    (tmp_path / "empty").write_bytes(seal(b""))
    check_seal(tmp_path / "empty")


def test_any_cut_is_noticed(sealed):
    raw = sealed.read_bytes()
    for length in (0, 1, 31, 32, 33, len(CONTENT) // 2, len(CONTENT), len(raw) - 1):
        sealed.write_bytes(raw[:length])
        with pytest.raises(ArtifactError, match=r"net\.so: not a convforge artifact, or cut short"):
            check_seal(sealed)
        assert not is_sealed(sealed)


def test_bytes_that_are_missing_or_were_added_are_noticed(sealed):
    raw = sealed.read_bytes()
    grown = raw[: len(CONTENT)] + b"more" + raw[len(CONTENT) :]
    for damaged in (raw[1:], raw[:100] + raw[101:], b"\0" + raw, raw[-32:], grown):
        sealed.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"net\.so: damaged.*compile it again"):
            check_seal(sealed)


@pytest.mark.parametrize("place", [0, 1000, len(CONTENT) - 1, len(CONTENT) + 24, -1])
def test_a_flipped_bit_is_noticed(sealed, place):
    raw = bytearray(sealed.read_bytes())
    raw[place] ^= 4
    sealed.write_bytes(raw)
    with pytest.raises(ArtifactError, match=r"net\.so: damaged"):
        check_seal(sealed)


@pytest.mark.parametrize("version", [0, ABI + 1, 2**32 - 1])
def test_another_version_is_refused_with_both(sealed, version):
    sealed.write_bytes(seal(CONTENT, version=version))
    words = f"built for version {version} .*speaks version {ABI}; compile it again"
    with pytest.raises(ArtifactError, match=words):
        check_seal(sealed)
    assert is_sealed(sealed)


def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path):
    with pytest.raises(ArtifactError, match=r"gone\.so: cannot be read .No such file"):
        check_seal(tmp_path / "gone.so")
    with pytest.raises(ArtifactError, match=r"cannot be read .Is a directory"):
        check_seal(tmp_path)

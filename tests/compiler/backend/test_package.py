from __future__ import annotations

import pytest

from convforge.compiler.backend.package import check_package, save_artifact, save_package
from convforge.compiler.backend.target import C_SOURCES, WASM32, find_target
from convforge.errors import OutputError
from convforge.seal import SEAL_BYTES, check_seal, is_sealed


def test_the_library_is_written_under_its_seal(tmp_path):
    path = tmp_path / "net.so"
    save_artifact(b"library", path)
    check_seal(path)
    assert path.read_bytes().startswith(b"library")
    assert [file.name for file in tmp_path.iterdir()] == ["net.so"]


def test_a_library_in_a_file_is_sealed_like_one_in_memory(tmp_path):
    library = bytes(range(256)) * 10_000  # more than one piece
    (tmp_path / "library").write_bytes(library)
    save_artifact(library, tmp_path / "one.so")
    save_artifact(tmp_path / "library", tmp_path / "two.so")
    assert (tmp_path / "one.so").read_bytes() == (tmp_path / "two.so").read_bytes()


def test_the_seal_of_a_wasm_module_is_a_section_of_it(tmp_path):
    module = b"\0asm\1\0\0\0"  # one without sections
    path = tmp_path / "net.wasm"
    save_artifact(module, path)
    check_seal(path)
    kind, length, *section = path.read_bytes().removeprefix(module)
    assert (kind, length) == (0, len(section))
    assert bytes(section[1 : 1 + section[0]]) == b"convforge.seal"
    assert len(section) == 1 + section[0] + SEAL_BYTES


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        save_artifact(b"library", tmp_path / "nowhere" / "net.so")


@pytest.mark.parametrize("target", ["native", "wasm32", "c", "wheel"])
def test_every_target_refuses_a_folder_that_is_not_there(tmp_path, target):
    with pytest.raises(OutputError, match="does not exist"):
        check_package(tmp_path / "nowhere" / "digits.whl", target=find_target(target))


def test_a_target_of_libraries_gives_one(tmp_path, compiled_small):
    path = tmp_path / "net.wasm"
    _, _, built = compiled_small
    assert save_package(path, target=WASM32, card=None, sources={}, built=built) == path
    assert is_sealed(path)


def test_a_target_of_sources_gives_a_folder(tmp_path, compiled_small):
    sources, card, _ = compiled_small
    path = tmp_path / "net"
    found = save_package(path, target=C_SOURCES, card=card, sources=sources, built=None)
    assert found == path
    assert (path / "convforge.h").read_bytes() == sources["convforge.h"]

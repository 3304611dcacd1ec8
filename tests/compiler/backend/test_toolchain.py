"""Units of a target, compiled once and kept, linked to a library that cleans up behind itself."""

from __future__ import annotations

import gc
import importlib.util
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from convforge.compiler.backend.target import (
    AARCH64_LINUX,
    WASM32,
    X86_64_LINUX,
    Level,
    Target,
    native,
)
from convforge.compiler.backend.toolchain import build_library, units
from convforge.errors import ToolchainError

ONE_LEVEL = Target("test", ".so", (Level("baseline", ()),), triple="")
SOURCES = {
    "model.c": b"void CF_STEPS(void);\nvoid CF_STEPS(void)\n{\n}\n",
    "preprocess.c": b"int cf_preprocess(void);\nint cf_preprocess(void)\n{\n    return 0;\n}\n",
    "artifact.c": b"int answer(void);\nint answer(void)\n{\n    return 42;\n}\n",
    "weights.S": b'    .section .note.GNU-stack,"",%progbits\n',
}


# A compiler that notes what it is told and makes a file of what follows -o.
NOTES = """\
[ "$1" = --version ] && { echo notes 1.0; exit; }
echo "$@" >> LOG
while [ "$1" != -o ]; do shift; done
echo made > "$2"
"""


@pytest.fixture
def log(only, tmp_path):
    """What a compiler that only takes notes was told, a line a call."""
    path = tmp_path / "log"
    only(cc=NOTES.replace("LOG", str(path)))

    def read():
        lines = path.read_text().splitlines()
        path.unlink()
        return lines

    return read


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_library_goes_with_its_object_and_nothing_else_is_left(scratch):
    built = build_library(SOURCES, target=ONE_LEVEL)
    assert [path for path in scratch.rglob("*") if path.is_file()] == [built.path]
    assert built.read_bytes().startswith(b"\x7fELF")
    del built
    gc.collect()
    assert list(scratch.iterdir()) == []


def test_a_failed_build_leaves_nothing(only, scratch):
    only(cc='case "$*" in *--version*) ;; *) echo half > model_baseline.o ;; esac; exit 1')
    with pytest.raises(ToolchainError):
        build_library(SOURCES, target=ONE_LEVEL)
    assert list(scratch.iterdir()) == []


def test_flags_reach_every_unit_and_the_link(log):
    target = replace(X86_64_LINUX, triple="")
    assert build_library(SOURCES, target=target, extra=("-g3",)).read_bytes() == b"made\n"
    lines = log()
    assert len(lines) == len(units(target, SOURCES)) + 1
    assert all("-g3" in line for line in lines)
    assert "-shared" in lines[-1]
    assert " -s" not in lines[-1].replace(" -shared", "")


def test_what_was_compiled_before_is_not_compiled_again(log):
    build_library(SOURCES, target=ONE_LEVEL)
    assert len(log()) == 5
    build_library(SOURCES, target=ONE_LEVEL)
    assert [line.split()[-1] for line in log()] == ["weights.o", "artifact.so"]


@pytest.mark.parametrize(
    "changed",
    [
        {"sources": {"model.c": SOURCES["model.c"] + b"\n"}},
        {"sources": {"convforge.h": b"/* another */\n"}},
        {"extra": ("-Wall",)},
        {"target": replace(ONE_LEVEL, levels=(Level("baseline", ("-march=any",)),))},
    ],
    ids=["source", "header", "flags", "level"],
)
def test_what_changed_is_compiled_again(log, changed):
    options = {"sources": {}, "target": ONE_LEVEL, "extra": ()}
    for fields in (options, options | changed):
        build_library(
            {**SOURCES, "convforge.h": b"", **fields["sources"]},
            target=fields["target"],
            extra=fields["extra"],
        )
        lines = log()
    assert any("model_baseline.o" in line for line in lines)
    assert len(lines) > 2


def test_another_compiler_compiles_again(log, only, tmp_path):
    build_library(SOURCES, target=ONE_LEVEL)
    log()
    only(cc=NOTES.replace("LOG", str(tmp_path / "log")).replace("1.0", "1.1"))
    build_library(SOURCES, target=ONE_LEVEL)
    assert len(log()) == 5


def test_a_compiler_without_a_version_is_asked_every_time(log, only, tmp_path):
    only(cc=NOTES.replace("LOG", str(tmp_path / "log")).replace("exit;", "exit 1;"))
    for _ in range(2):
        build_library(SOURCES, target=ONE_LEVEL)
        assert len(log()) == 5


def test_the_cache_can_be_off(log, monkeypatch):
    monkeypatch.setenv("CONVFORGE_CACHE", "off")
    for _ in range(2):
        build_library(SOURCES, target=ONE_LEVEL)
        assert len(log()) == 5


def test_builds_at_the_same_time_share_the_cache():
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: build_library(SOURCES, target=ONE_LEVEL), range(4)))
    assert len({built.read_bytes() for built in made}) == 1


@pytest.mark.parametrize("target", [X86_64_LINUX, AARCH64_LINUX, WASM32])
def test_network_and_preprocessing_are_compiled_once_a_level_the_rest_once(target):
    objects = [unit.object for unit in units(target, SOURCES)]
    assert len(set(objects)) == len(objects)
    assert len(objects) == 2 * len(target.levels) + 2


def test_every_piece_of_the_network_is_compiled_at_every_level():
    found = units(X86_64_LINUX, {"model_0.c": b"", "model_1.c": b""})
    assert len({unit.object for unit in found}) == 6
    assert all("-ffp-contract=fast" in unit.flags for unit in found)


@pytest.mark.parametrize("target", [X86_64_LINUX, AARCH64_LINUX, WASM32])
def test_only_the_network_may_fuse_a_product_and_a_sum(target):
    for unit in units(target, SOURCES):
        if unit.source == "model.c":
            assert "-ffp-contract=fast" in unit.flags
        elif unit.source.endswith(".c"):
            assert "-ffp-contract=off" in unit.flags


@pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="no ziglang")
def test_zig_builds_every_level(monkeypatch):
    monkeypatch.setenv("CC", f"{sys.executable} -m ziglang cc")
    assert build_library(SOURCES, target=native()).read_bytes().startswith(b"\x7fELF")

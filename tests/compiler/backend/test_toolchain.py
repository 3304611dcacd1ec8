from __future__ import annotations

import importlib.util
import sys
import tempfile

import pytest

from convforge.compiler.backend import toolchain
from convforge.compiler.backend.target import AARCH64_LINUX, X86_64_LINUX, Level, Target, native
from convforge.compiler.backend.toolchain import build_library, find_compiler, units
from convforge.errors import ToolchainError

ONE_LEVEL = Target("test", ".so", (Level("baseline", (), "1"),))
SOURCES = {
    "model.c": b"void CF_STEPS(void);\nvoid CF_STEPS(void)\n{\n}\n",
    "preprocess.c": b"int cf_preprocess(void);\nint cf_preprocess(void)\n{\n    return 0;\n}\n",
    "artifact.c": b"int answer(void);\nint answer(void)\n{\n    return 42;\n}\n",
    "weights.S": b'    .section .note.GNU-stack,"",%progbits\n',
}


@pytest.fixture
def only(monkeypatch, tmp_path):
    """Leaves no program on PATH but scripts of these names, which say what they are told."""

    def leave(**scripts):
        for name, text in scripts.items():
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CC", raising=False)

    return leave


@pytest.fixture
def no_zig(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ziglang" else find(name)
    )


def test_the_systems_compiler_comes_first(only):
    only(clang="", gcc="")
    assert find_compiler() == ("gcc",)
    only(cc="")
    assert find_compiler() == ("cc",)


@pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="no ziglang")
def test_zig_takes_over_where_there_is_none(only):
    only()
    assert find_compiler() == (sys.executable, "-m", "ziglang", "cc")


def test_without_any_compiler_the_message_says_what_to_install(only, no_zig):
    only()
    with pytest.raises(
        ToolchainError, match=r"no C compiler.*pip install \"convforge\[compile\]\""
    ):
        find_compiler()


def test_cc_overrides_everything_and_may_have_arguments(only, monkeypatch):
    only(gcc="", mine="")
    monkeypatch.setenv("CC", "mine --fast 'two words'")
    assert find_compiler() == ("mine", "--fast", "two words")
    monkeypatch.setenv("CC", "")
    assert find_compiler() == ("gcc",)


@pytest.mark.parametrize("chosen", ["missing-cc", "missing-cc -O3", "/nowhere/cc", " "])
def test_cc_that_names_no_program_is_refused(only, monkeypatch, chosen):
    only(gcc="")
    monkeypatch.setenv("CC", chosen)
    with pytest.raises(ToolchainError, match=rf"CC='{chosen}': no such program.*unset CC"):
        find_compiler()


def test_cc_that_is_no_command_is_refused(only, monkeypatch):
    only(gcc="")
    monkeypatch.setenv("CC", "gcc 'unclosed")
    with pytest.raises(ToolchainError, match=r"not a command .No closing quotation.; unset CC"):
        find_compiler()


def test_a_compiler_that_fails_is_quoted_from_its_error_on(only):
    only(cc="echo info: 1000 processors >&2; echo model.c:1: error: no luck >&2; exit 3")
    with pytest.raises(ToolchainError, match=r"exit status 3; set CC") as caught:
        build_library(SOURCES, target=ONE_LEVEL)
    assert str(caught.value).splitlines()[2:] == ["model.c:1: error: no luck"]


def test_a_compiler_that_fails_without_the_word_is_quoted_from_the_start(only):
    only(cc="echo bad luck; exit 1")
    with pytest.raises(ToolchainError, match=r"\nbad luck$"):
        build_library(SOURCES, target=ONE_LEVEL)


def test_a_compiler_that_speaks_no_utf8_is_quoted(only):
    only(cc=r"printf 'error: caf\351' >&2; exit 1")
    with pytest.raises(ToolchainError, match="error: caf\ufffd"):
        build_library(SOURCES, target=ONE_LEVEL)


def test_a_compiler_that_does_not_start_is_refused(only, tmp_path, monkeypatch):
    only(cc="")
    (tmp_path / "cc").write_text("#!/nowhere/sh\n")
    with pytest.raises(ToolchainError, match=r"could not be started: cc .No such file"):
        build_library(SOURCES, target=ONE_LEVEL)


def test_nothing_is_left_behind(only, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    build_library(SOURCES, target=ONE_LEVEL)
    assert list(scratch.iterdir()) == []
    only(cc="echo half > model_baseline.o; exit 1")
    with pytest.raises(ToolchainError):
        build_library(SOURCES, target=ONE_LEVEL)
    assert list(scratch.iterdir()) == []


def test_flags_reach_every_unit_and_the_link(only, tmp_path):
    log = tmp_path / "log"
    only(
        cc=f'echo "$@" >> {log}\n'
        'while [ "$1" != -o ]; do shift; done\n'
        'echo made > "$2"'  # what follows -o
    )
    assert build_library(SOURCES, target=X86_64_LINUX, extra=("-g3",)) == b"made\n"
    lines = log.read_text().splitlines()
    assert len(lines) == len(units(X86_64_LINUX)) + 1
    assert all("-g3" in line for line in lines)
    assert "-shared" in lines[-1]


@pytest.mark.parametrize("target", [X86_64_LINUX, AARCH64_LINUX])
def test_network_and_preprocessing_are_compiled_once_a_level_the_rest_once(target):
    objects = [unit.object for unit in units(target)]
    assert len(set(objects)) == len(objects)
    assert len(objects) == 2 * len(target.levels) + 2


@pytest.mark.parametrize("target", [X86_64_LINUX, AARCH64_LINUX])
def test_only_the_network_may_fuse_a_product_and_a_sum(target):
    for unit in units(target):
        if unit.source == "model.c":
            assert "-ffp-contract=fast" in unit.flags
        elif unit.source.endswith(".c"):
            assert "-ffp-contract=off" in unit.flags


@pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="no ziglang")
def test_zig_builds_every_level(monkeypatch):
    monkeypatch.setenv("CC", f"{sys.executable} -m ziglang cc")
    assert build_library(SOURCES, target=native()).startswith(b"\x7fELF")
    assert toolchain.find_compiler()[-1] == "cc"

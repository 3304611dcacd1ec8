"""Which compiler builds for which machine, and what is said where there is none or it fails."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from convforge.compiler.backend.compilers import (
    find_compiler,
    identity,
    in_its_words,
    run_compiler,
)
from convforge.errors import ToolchainError

ZIG = (sys.executable, "-m", "ziglang", "cc")


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
    assert find_compiler() == ZIG


@pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="no ziglang")
def test_other_machines_are_zigs_whatever_the_system_has(only, monkeypatch):
    only(gcc="")
    assert find_compiler("aarch64-linux-gnu") == (*ZIG, "-target", "aarch64-linux-gnu")
    monkeypatch.setenv("CC", " ".join(ZIG))
    assert find_compiler("aarch64-linux-gnu") == (*ZIG, "-target", "aarch64-linux-gnu")
    monkeypatch.setenv("CC", "gcc")
    assert find_compiler("aarch64-linux-gnu") == ("gcc",)


def test_without_zig_other_machines_are_refused(only, no_zig):
    only(gcc="")
    with pytest.raises(ToolchainError, match=r"no C compiler for wasm32-wasi: .*ziglang"):
        find_compiler("wasm32-wasi")


def test_zig_is_spoken_to_in_its_words():
    flags = ["-O3", "-march=x86-64-v3"]
    assert in_its_words(flags, compiler=("gcc",)) == flags
    assert in_its_words(flags, compiler=ZIG) == ["-O3", "-mcpu=x86_64_v3"]


def test_a_compiler_is_known_by_its_version_and_its_program(only, tmp_path):
    only(cc="echo one 1.0", gcc="echo one 1.0")
    first = identity(("cc",))
    assert "one 1.0" in first
    assert identity(("cc",)) == first != identity(("gcc",))
    only(cc="echo one 1.1")
    assert "one 1.1" in identity(("cc",))


@pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="no ziglang")
def test_zig_is_known_by_its_package_and_not_by_the_interpreter():
    assert "ziglang" in identity(ZIG)
    assert sys.executable not in identity(ZIG)


@pytest.mark.parametrize("script", ["exit 1", "echo words; exit 1", "", "missing"])
def test_a_compiler_that_says_no_version_is_not_known(only, script):
    only(**({} if script == "missing" else {"cc": script}))
    assert identity(("cc",)) == ""


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


def test_a_compiler_that_fails_is_quoted_from_its_error_on(only, tmp_path):
    only(cc="echo info: 1000 processors >&2; echo model.c:1: error: no luck >&2; exit 3")
    with pytest.raises(ToolchainError, match=r"exit status 3; set CC") as caught:
        run_compiler(["cc", "-c", "model.c"], folder=tmp_path)
    assert str(caught.value).splitlines()[2:] == ["model.c:1: error: no luck"]


def test_a_compiler_that_fails_without_the_word_is_quoted_from_the_start(only, tmp_path):
    only(cc="echo bad luck; exit 1")
    with pytest.raises(ToolchainError, match=r"\nbad luck$"):
        run_compiler(["cc", "-c", "model.c"], folder=tmp_path)


def test_a_compiler_that_speaks_no_utf8_is_quoted(only, tmp_path):
    only(cc=r"printf 'error: caf\351' >&2; exit 1")
    with pytest.raises(ToolchainError, match="error: caf\ufffd"):
        run_compiler(["cc", "-c", "model.c"], folder=tmp_path)


def test_a_compiler_that_does_not_start_is_refused(only, tmp_path):
    only(cc="")
    (tmp_path / "cc").write_text("#!/nowhere/sh\n")
    with pytest.raises(ToolchainError, match=r"could not be started: cc .No such file"):
        run_compiler(["cc", "-c", "model.c"], folder=tmp_path)

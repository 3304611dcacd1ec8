from __future__ import annotations

import pytest

from convforge.compiler.backend import target
from convforge.compiler.backend.target import TARGETS, find_target, for_precision
from convforge.errors import UnsupportedError


@pytest.fixture
def on(monkeypatch):
    def pretend(platform, machine):
        monkeypatch.setattr(target.platform, "machine", lambda: machine)
        monkeypatch.setattr(target.sys, "platform", platform)

    return pretend


@pytest.mark.parametrize(
    ("platform", "machine", "name", "suffix"),
    [
        ("linux", "x86_64", "x86_64-linux", ".so"),
        ("linux", "aarch64", "aarch64-linux", ".so"),
        ("darwin", "x86_64", "x86_64-macos", ".dylib"),
        ("darwin", "arm64", "aarch64-macos", ".dylib"),
        ("win32", "AMD64", "x86_64-windows", ".dll"),
    ],
)
def test_the_native_target_is_this_machines(on, platform, machine, name, suffix):
    on(platform, machine)
    native = target.native()
    assert (native.name, native.suffix, native.triple) == (name, suffix, "")
    assert find_target("native") == native
    assert find_target(name).levels == native.levels
    assert find_target(name).triple.startswith(name.removesuffix("-windows"))
    assert find_target("wasm") is find_target("wasm32")
    assert find_target("wheel").levels == native.levels


@pytest.mark.parametrize(
    ("platform", "machine"), [("linux", "riscv64"), ("freebsd14", "amd64"), ("win32", "ARM64")]
)
def test_an_unknown_machine_is_refused_with_the_known_ones(on, platform, machine):
    on(platform, machine)
    words = f"{platform} on {machine.lower()} is not supported; supported are x86_64-linux, "
    with pytest.raises(UnsupportedError, match=words):
        target.native()


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UnsupportedError, match=r"'arm' is not known; known are: native, .*, wheel"):
        find_target("arm")


@pytest.mark.parametrize("name", TARGETS)
def test_the_last_level_is_the_one_that_every_cpu_has(name):
    found = find_target(name)
    assert [level.x86 for level in found.levels] in ([0], [4, 3, 0])
    assert found.levels[-1].name == "baseline"


@pytest.mark.parametrize(("precision", "best"), [("bf16", "avx512bf16"), ("int8", "avx512vnni")])
def test_a_precision_has_the_level_of_its_products(precision, best):
    target = find_target("x86_64-linux")
    names = [level.name for level in for_precision(target, precision).levels]
    assert names == [best, "avx2", "baseline"]
    assert for_precision(target, "float32") == target
    arm = find_target("aarch64-linux")
    assert for_precision(arm, precision) == arm

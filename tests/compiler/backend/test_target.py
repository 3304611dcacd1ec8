from __future__ import annotations

import pytest

from convforge.compiler.backend import target
from convforge.errors import UnsupportedError


@pytest.mark.parametrize(
    ("machine", "name"),
    [("x86_64", "x86_64-linux"), ("AMD64", "x86_64-linux"), ("aarch64", "aarch64-linux")],
)
def test_the_native_target_is_this_machines(monkeypatch, machine, name):
    monkeypatch.setattr(target.platform, "machine", lambda: machine)
    monkeypatch.setattr(target.sys, "platform", "linux")
    assert target.native().name == name


@pytest.mark.parametrize(
    ("platform", "machine"), [("linux", "riscv64"), ("darwin", "arm64"), ("win32", "AMD64")]
)
def test_an_unknown_machine_is_refused_with_the_known_ones(monkeypatch, platform, machine):
    monkeypatch.setattr(target.platform, "machine", lambda: machine)
    monkeypatch.setattr(target.sys, "platform", platform)
    words = (
        f"{platform} on {machine.lower()} is not supported; supported are linux on aarch64, x86_64"
    )
    with pytest.raises(UnsupportedError, match=words):
        target.native()


@pytest.mark.parametrize("known", [target.X86_64_LINUX, target.AARCH64_LINUX])
def test_the_last_level_is_the_one_that_every_cpu_has(known):
    assert [level.probe == "1" for level in known.levels] == (
        [False] * (len(known.levels) - 1) + [True]
    )
    assert known.levels[-1].name == "baseline"

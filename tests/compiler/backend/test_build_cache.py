"""Compiled units come back whole or not at all, and the folder stays within its limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from convforge.compiler.backend.build_cache import BuildCache, key_of, open_cache


@pytest.fixture
def cache(tmp_path):
    return BuildCache(tmp_path / "deep" / "build")


def test_what_was_put_comes_back(cache):
    assert cache.get("a") is None
    cache.put("a", b"unit")
    cache.put("b", b"")
    assert (cache.get("a"), cache.get("b")) == (b"unit", b"")


@pytest.mark.parametrize(
    "damage", [lambda entry: entry[:-1], lambda entry: entry + b"x", lambda _entry: b""]
)
def test_a_damaged_unit_is_not_given(cache, damage):
    cache.put("a", b"unit")
    (path,) = cache.folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("a") is None
    cache.put("a", b"unit")
    assert cache.get("a") == b"unit"


def test_what_was_used_longest_ago_goes_first(tmp_path):
    cache = BuildCache(tmp_path, limit_bytes=250)
    for age, key in enumerate("abc"):
        cache.put(key, bytes(68))  # 100 with the digest
        os.utime(tmp_path / f"{key}.unit", (age, age))
    assert cache.get("a") is not None  # used now
    cache.trim()
    assert [key for key in "abc" if cache.get(key)] == ["a", "c"]


def test_only_units_are_removed(tmp_path):
    (tmp_path / "thesis.tex").write_bytes(bytes(1000))
    cache = BuildCache(tmp_path, limit_bytes=10)
    cache.put("a", bytes(100))
    (tmp_path / ".b.unit.1.2").write_bytes(bytes(100))  # of a build that was killed
    cache.trim()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made_costs_time_only(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = BuildCache(tmp_path / "file" / "build")
    cache.put("a", b"unit")
    assert cache.get("a") is None
    cache.trim()


def test_the_environment_says_where(monkeypatch, tmp_path):
    monkeypatch.setenv("CONVFORGE_CACHE", str(tmp_path))
    assert open_cache().folder == tmp_path
    monkeypatch.setenv("CONVFORGE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert open_cache().folder == tmp_path / "convforge" / "build"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert open_cache().folder == Path.home() / ".cache" / "convforge" / "build"
    monkeypatch.setenv("CONVFORGE_CACHE", "off")
    off = open_cache()
    off.put("a", b"unit")
    assert off.get("a") is None
    off.trim()


def test_keys_tell_parts_apart_by_content_and_boundary():
    keys = {key_of(parts) for parts in ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""])}
    assert len(keys) == 4
    assert key_of([b"a"]) == key_of([b"a"])

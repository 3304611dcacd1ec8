from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections import namedtuple

import numpy as np
import pytest

from convforge.images.cache import SPARE_BYTES, Cache

USAGE = namedtuple("USAGE", "total used free")


def pictures(count=5, *, side=4, value=0):
    return [np.full((side, side, 3), value + i, np.uint8) for i in range(count)]


def build(cache, key, images):
    return cache.find_or_build(key, lambda: images, waiting=lambda: None)


def test_what_was_built_is_found_and_mapped(tmp_path):
    cache = Cache(folder=tmp_path / "new" / "folder")
    assert cache.find("a") is None
    for kept in (build(cache, "a", pictures()), cache.find("a")):
        np.testing.assert_array_equal(kept.pixels, np.stack(pictures()))
        assert kept.bad == ()
        assert isinstance(kept.pixels.base.base, np.memmap)


def test_images_of_different_sizes_keep_theirs(tmp_path):
    images = [np.full((2, 3, 1), 1, np.uint8), None, np.full((5, 1, 1), 2, np.uint8), None]
    build(Cache(folder=tmp_path), "a", images)
    kept = Cache(folder=tmp_path).find("a")
    assert kept.bad == (1, 3)
    for found, image in zip(kept.pixels, [images[0], images[2]], strict=True):
        np.testing.assert_array_equal(found, image)
    assert [image.shape for image in kept.pixels[:2]] == [(2, 3, 1), (5, 1, 1)]


def test_nothing_but_bad_images_is_kept_too(tmp_path):
    build(Cache(folder=tmp_path), "a", [None, None])
    kept = Cache(folder=tmp_path).find("a")
    assert (len(kept.pixels), kept.bad) == (0, (0, 1))


@pytest.mark.parametrize("lost", [1, 15, 16, 17, 40, 10_000])
def test_a_file_that_was_cut_short_is_built_again(tmp_path, lost):
    cache = Cache(folder=tmp_path)
    build(cache, "a", pictures())
    path = tmp_path / "a.pixels"
    path.write_bytes(path.read_bytes()[:-lost])
    assert cache.find("a") is None
    np.testing.assert_array_equal(build(cache, "a", pictures()).pixels, np.stack(pictures()))


def test_what_fails_while_it_is_written_leaves_nothing_whole(tmp_path):
    def failing():
        yield pictures()[0]
        raise KeyboardInterrupt

    cache = Cache(folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cache.find_or_build("a", failing, waiting=lambda: None)
    assert cache.find("a") is None
    assert build(cache, "a", pictures()) is not None  # what was left is written over
    assert [path.name for path in tmp_path.iterdir()] == ["a.pixels"]


# ---- bounds ----


def test_what_was_used_longest_ago_makes_room(tmp_path):
    one = build(Cache(folder=tmp_path), "a", pictures(40)).pixels.nbytes
    cache = Cache(folder=tmp_path, limit_bytes=3 * one + 1500)
    for age, key in ((30, "b"), (20, "c")):
        build(cache, key, pictures(40))
        os.utime(tmp_path / f"{key}.pixels", (time.time() - age,) * 2)
    os.utime(tmp_path / "a.pixels", (time.time() - 40,) * 2)
    cache.find("a")  # used now
    build(cache, "d", pictures(40))
    assert cache.find("b") is None
    assert all(cache.find(key) for key in "acd")


def test_a_file_over_the_limit_is_given_up_and_leaves_nothing(tmp_path):
    cache = Cache(folder=tmp_path, limit_bytes=1000)
    assert build(cache, "a", pictures(40)) is None
    assert list(tmp_path.iterdir()) == []


def test_the_disk_keeps_some_space(tmp_path, monkeypatch):
    def disk_usage(folder):
        taken = sum(path.stat().st_size for path in folder.iterdir())
        return USAGE(0, 0, SPARE_BYTES + 100_000 - taken)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    cache = Cache(folder=tmp_path)
    assert cache.room() == 100_000
    assert build(cache, "a", pictures(40, side=40)) is None  # 192,000 bytes
    assert build(cache, "b", pictures(10, side=40)) is not None


def test_a_part_file_that_was_abandoned_makes_room(tmp_path):
    old, new = tmp_path / "x.part", tmp_path / "y.part"
    for path in (old, new):
        path.write_bytes(bytes(500))
    os.utime(old, (time.time() - 100_000,) * 2)
    build(Cache(folder=tmp_path, limit_bytes=1000), "a", pictures(15))
    assert (old.exists(), new.exists()) == (False, True)


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert build(Cache(folder=tmp_path / "file" / "pixels"), "a", pictures()) is None


def test_pixels_that_are_mapped_outlive_their_file(tmp_path):
    cache = Cache(folder=tmp_path)
    kept = build(cache, "a", pictures())
    cache.remove("a")
    cache.remove("a")
    np.testing.assert_array_equal(kept.pixels, np.stack(pictures()))


# ---- several processes ----


def build_slowly(folder, built, waited, answers):
    def images():
        with built.get_lock():
            built.value += 1
        for image in pictures(20):
            time.sleep(0.03)
            yield image

    def waiting():
        with waited.get_lock():
            waited.value += 1

    kept = Cache(folder=folder).find_or_build("a", images, waiting=waiting)
    answers.put(int(kept.pixels.sum()))


def test_of_two_processes_one_builds_and_both_get_it(tmp_path):
    context = multiprocessing.get_context("fork")
    built, waited = context.Value("i", 0), context.Value("i", 0)
    answers = context.Queue()
    processes = [
        context.Process(target=build_slowly, args=(tmp_path, built, waited, answers))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    found = {answers.get(timeout=30) for _ in processes}
    for process in processes:
        process.join(timeout=30)
        assert process.exitcode == 0
    assert found == {int(np.stack(pictures(20)).sum())}
    assert built.value == 1
    assert waited.value >= 2


def test_a_process_that_is_killed_lets_the_next_one_build(tmp_path):
    context = multiprocessing.get_context("fork")
    built, waited = context.Value("i", 0), context.Value("i", 0)
    answers = context.Queue()
    process = context.Process(target=build_slowly, args=(tmp_path, built, waited, answers))
    process.start()
    while not built.value:
        time.sleep(0.01)
    process.kill()
    process.join(timeout=30)
    np.testing.assert_array_equal(
        build(Cache(folder=tmp_path), "a", pictures()).pixels, np.stack(pictures())
    )

"""Files, folders and patterns become named images, each once."""

import os

import numpy as np
import pytest
from PIL import Image

from convforge.errors import DataError
from convforge.images.paths import open_paths, read_names


@pytest.fixture
def photos(tmp_path):
    """Three pictures in two folders, beside what is none."""
    for place in ("b.png", "a/c.JPG", "a/b/d.webp", "a/.hidden/e.png", "__MACOSX/f.png"):
        path = tmp_path / "photos" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (9, 9, 9)).save(path, "PNG")
    (tmp_path / "photos" / "a" / "notes.txt").write_text("three pictures")
    return tmp_path / "photos"


def names(root, paths):
    return [os.path.relpath(name, root) for name in open_paths([str(p) for p in paths]).names]


def test_a_folder_gives_its_images_at_any_depth_in_order(photos):
    assert names(photos, [photos]) == ["a/b/d.webp", "a/c.JPG", "b.png"]


def test_a_pattern_takes_files_as_they_are_and_images_of_folders(photos):
    assert names(photos, [photos / "*"]) == ["a/b/d.webp", "a/c.JPG", "b.png"]
    assert names(photos, [photos / "a" / "*.*"]) == ["a/c.JPG", "a/notes.txt"]
    assert names(photos, [photos / "**" / "*.webp"]) == ["a/b/d.webp"]


def test_an_image_that_is_named_twice_comes_once(photos):
    assert names(photos, [photos / "b.png", photos]) == ["b.png", "a/b/d.webp", "a/c.JPG"]


def test_an_image_that_is_named_in_two_ways_comes_once(photos, monkeypatch):
    monkeypatch.chdir(photos)
    paths = ["./b.png", "b.png", "a/../b.png", str(photos / "b.png"), "a/b/d.webp", "./a/b"]
    assert open_paths(paths).names == ("./b.png", "a/b/d.webp")


def test_images_are_read_when_they_are_asked_for(photos):
    part = open_paths([str(photos / "b.png"), str(photos / "absent.png")])
    np.testing.assert_array_equal(part.load(0), np.full((3, 4, 3), 9))
    with pytest.raises(DataError, match=r"absent\.png"):
        part.load(1)


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(photos):
    odd = photos / "b[1].png"
    (photos / "b.png").rename(odd)
    assert names(photos, [odd]) == ["b[1].png"]


def test_a_loop_of_links_ends(photos):
    (photos / "a" / "up").symlink_to(photos, target_is_directory=True)
    assert names(photos, [photos]) == ["a/b/d.webp", "a/c.JPG", "b.png"]


def test_a_folder_or_pattern_without_images_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "*.png"):
        with pytest.raises(DataError, match=r"no image.*\.jpg"):
            open_paths([str(path)])


def test_names_below_a_folder_are_read_there_and_called_as_they_are(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((4, 5, 3), 9, np.uint8)).save(tmp_path / "in" / "[a].png")
    part = read_names(["in/[a].png", "in/b.png"], below=tmp_path)
    assert part.load(0).shape == (4, 5, 3)
    with pytest.raises(DataError, match=r"^in/b\.png: ") as caught:
        part.load(1)
    assert str(tmp_path) not in str(caught.value)


def test_the_callers_image_is_the_path_of_a_dash(photos):
    content = (photos / "b.png").read_bytes()
    part = open_paths(["-", str(photos / "b.png")], given=content)
    assert part.names[0] == "-"
    assert np.array_equal(part.load(0), part.load(1))
    with pytest.raises(DataError, match="standard input: is not an image"):
        open_paths(["-"], given=b"letter").load(0)


def test_a_file_may_be_called_like_an_address(photos, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / "data:").mkdir()
    (photos / "b.png").rename(photos / "data:" / "b.png")
    assert open_paths(["data:/b.png"]).load(0).shape == (3, 4, 3)
    with pytest.raises(DataError, match=r"data:/c\.png: is an address"):
        open_paths(["data:/c.png"])

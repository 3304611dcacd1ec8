"""The tutorial: its commands exist, and each file that one of them reads another one wrote."""

import re

import pytest


@pytest.fixture(scope="module")
def chapter(repository):
    return (repository / "docs" / "tutorial.md").read_text(encoding="utf-8")


def test_commands_exist_in_the_order_of_the_road(chapter, commands_in, parse_command):
    names = [parse_command(words)[0] for words in commands_in(chapter)]
    road = ["train", "compile", "predict", "predict", "explain", "compile", "serve", "evaluate"]
    assert names == road


def test_every_file_that_is_read_was_written_before(chapter, commands_in, parse_command):
    there, written = {"photos/", "photos/horn", "new.jpg"}, []
    for words in commands_in(chapter):
        name, values = parse_command(words)
        read = [word for word in words[1:] if re.fullmatch(r"[\w./]+\.(safetensors|so|jpg)", word)]
        output = values.get("output")
        assert {word for word in read if word != str(output)} <= there, words
        if name == "compile":
            output = "photos.html" if values.get("target") == "html" else "photos.so"
        if output is not None:
            assert str(output) not in there
            there.add(str(output))
            written.append(str(output))
    assert written == ["photos.safetensors", "photos.so", "horn.csv", "why.png", "photos.html"]


def test_what_is_shown_is_of_the_files_that_were_written(chapter):
    shown = " ".join(re.findall(r"^```text\n(.*?)^```", chapter, re.DOTALL | re.MULTILINE))
    for name in ("photos.safetensors", "photos.so", "horn.csv", "why.png", "photos.html"):
        assert name in shown

import struct

import pytest
from PIL import Image

from convforge.errors import ClassifierError, OutputError
from convforge.file_kinds import check_classifier_name, check_kind
from convforge.loading import load

ZIP = b"PK\x03\x04\x14\0\0\0\x08\0"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x7fELF\x02\x01\x01\0" + bytes(60), "a compiled artifact or another library"),
        (b"\0asm\x01\0\0\0" + bytes(60), "a compiled artifact or another library"),
        (b"\x08\x08\x12\x07pytorch\x1a", r"an ONNX model; compile it first: convforge compile .*x"),
        (b"\n<!DOCTYPE html>\n<html>", "a web page, which a browser opens"),
        (ZIP, "an archive, as wheels and"),
    ],
)
def test_what_is_no_classifier_is_named(tmp_path, content, words):
    file = tmp_path / "x"
    file.write_bytes(content)
    with pytest.raises(ClassifierError, match=f"x: not a classifier file: it is {words}"):
        check_kind(file)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_images_are_named(tmp_path, form):
    file = tmp_path / "classifier.safetensors"
    Image.new("RGB", (8, 8)).save(file, format=form)
    with pytest.raises(ClassifierError, match="it is an image"):
        load(file)


@pytest.mark.parametrize("first", [b"MZ", b"BM", b"P6", b"\x08\x08\x12"])
def test_a_header_of_safetensors_is_none_of_them_whatever_its_length(tmp_path, first):
    length = int.from_bytes(first, "little")
    file = tmp_path / "c.safetensors"
    file.write_bytes(struct.pack("<Q", length) + b"{" + b" " * 600)
    check_kind(file)


def test_what_nobody_knows_is_left_to_the_reader(tmp_path):
    file = tmp_path / "letter"
    file.write_text("this is a letter")
    check_kind(file)
    file.write_bytes(b"")
    check_kind(file)


@pytest.mark.parametrize("name", ["a.so", "a.pt", "a", "a.safetensors.bak"])
def test_a_classifier_is_not_called_like_something_else(tmp_path, name):
    check_classifier_name(tmp_path / "a.safetensors")
    check_classifier_name(tmp_path / "A.SAFETENSORS")
    with pytest.raises(OutputError, match=r"its name ends in \.safetensors: name it a\."):
        check_classifier_name(tmp_path / name)

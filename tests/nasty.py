"""A folder of nasty files, and what is to become of each: `python tests/nasty.py FOLDER` writes it.

`build_nasty` writes a data set that can be trained on, with everything in it that people's folders
have; OUTCOMES says what happens to each file. `build_refused` writes, one folder each, what a data
set must not have; REFUSED says with which words it is refused. docs/images.md has both as tables.
"""

import io
import struct
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "고양이 2", " ")  # the last one is a blank
USED, BAD, PASSED_OVER = "used", "bad", "passed over"

# file: (what happens, words of the reason where it is bad)
OUTCOMES = {
    "train/cat/truncated.jpg": (BAD, "damaged or cut short"),
    "train/cat/zero bytes.png": (BAD, "is empty"),
    "train/cat/text.jpg": (BAD, "is not an image"),
    "train/cat/bomb.png": (BAD, "(196000000 pixels) exceeds limit"),
    "train/cat/strip.png": (BAD, "image of 20000x1 pixels"),
    "train/cat/loop.png": (BAD, "Too many levels of symbolic links"),
    "train/cat/dangling.png": (BAD, "no such file"),
    "train/cat/archive.png": (BAD, "is not an image"),
    "train/cat/float.tiff": (BAD, "32-bit pixels have no fixed range"),
    "test/cat/truncated.png": (BAD, "damaged or cut short"),
    "train/cat/one pixel.png": (USED, ""),
    "train/cat/animated.gif": (USED, ""),
    "train/cat/사진 🐈.png": (USED, ""),
    "train/cat/ .png": (USED, ""),
    "train/cat/wrong suffix.jpg": (USED, ""),  # a PNG
    "train/cat/UPPER.JPG": (USED, ""),
    "train/cat/grey.png": (USED, ""),
    "train/cat/sixteen bits.png": (USED, ""),
    "train/cat/palette.gif": (USED, ""),
    "train/cat/alpha.webp": (USED, ""),
    "train/cat/cmyk.jpg": (USED, ""),
    "train/cat/turned.jpg": (USED, ""),
    "train/cat/link.png": (USED, ""),  # to a good image
    "train/cat/twin.png": (USED, ""),  # the same as one of test, which is reported
    "test/cat/twin.png": (USED, ""),
    ".ipynb_checkpoints/cat-checkpoint.png": (PASSED_OVER, ""),
    "train/.ipynb_checkpoints/cat-checkpoint.png": (PASSED_OVER, ""),
    "train/cat/.ipynb_checkpoints/cat-checkpoint.png": (PASSED_OVER, ""),
    "train/cat/.DS_Store": (PASSED_OVER, ""),
    "train/cat/._0.png": (PASSED_OVER, ""),
    "train/cat/Thumbs.db": (PASSED_OVER, ""),
    "labels.csv": (PASSED_OVER, ""),
}

# folder: words of the refusal
REFUSED = {
    "empty class": "dog: a class folder without images",
    "class only in val": "val has classes without an image to train on: emu",
    "class that is a broken link": "links that lead nowhere: dog",
    "class that links to itself": "links that lead nowhere: loop",
    "class that links to the root": "a class folder that holds folders",
    "text among images": "1 files that are not images: notes.txt",
    "loose images": "images outside of a class folder: loose.png",
    "one class": "one class only, cat",
    "not unicode": "is not Unicode",
}


def build_nasty(root: Path) -> None:
    """Write the data set: twelve good images a class and part, and the files of OUTCOMES."""
    for part in ("train", "test"):
        for label in CLASSES:
            for i in range(12):
                _save(root / part / label / f"{i}.png", picture(f"{part}{label}{i}"))
    _build_bad(root)
    _build_used(root / "train" / "cat")
    _save(root / "train/cat/twin.png", picture("twin"))
    _save(root / "test/cat/twin.png", picture("twin"))
    for name, (outcome, _) in OUTCOMES.items():
        if outcome == PASSED_OVER:
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(b"passed over")


def build_refused(root: Path) -> None:
    """Write the folders of REFUSED, below `root`."""
    for name in REFUSED:
        for place in ("train/cat/0.png", "train/dog/0.png", "val/cat/0.png"):
            _save(root / name / place, picture(place))
    (root / "empty class/train/dog/0.png").unlink()
    _save(root / "class only in val/val/emu/0.png", picture("emu"))
    (root / "class that is a broken link/train/dog/0.png").unlink()
    (root / "class that is a broken link/train/dog").rmdir()
    (root / "class that is a broken link/train/dog").symlink_to("/nowhere/dog")
    loop = root / "class that links to itself/train/loop"
    loop.symlink_to(loop)
    (root / "class that links to the root/train/again").symlink_to("..")
    (root / "text among images/train/cat/notes.txt").write_text("buy milk")
    _save(root / "loose images/train/loose.png", picture("loose"))
    (root / "one class/train/dog/0.png").unlink()
    (root / "one class/train/dog").rmdir()
    name = bytes(root / "not unicode/train/cat") + b"/\xff.png"
    Path(name.decode(errors="surrogateescape")).write_bytes(b"")


def picture(seed: str, *, size: tuple[int, int] = (24, 20)) -> Image.Image:
    """Random pixels, the same ones for the same seed."""
    rng = np.random.default_rng(list(seed.encode()))
    width, height = size
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def _build_bad(root: Path) -> None:
    cat = root / "train" / "cat"
    whole = _encoded(picture("truncated", size=(200, 150)), "JPEG")
    (cat / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    whole = _encoded(picture("truncated", size=(200, 150)), "PNG")
    (root / "test/cat/truncated.png").write_bytes(whole[: len(whole) // 2])
    (cat / "zero bytes.png").write_bytes(b"")
    (cat / "text.jpg").write_text("This is not an image.")
    (cat / "bomb.png").write_bytes(_bomb(14_000))
    Image.new("RGB", (20_000, 1), "red").save(cat / "strip.png")
    (cat / "loop.png").symlink_to(cat / "loop.png")
    (cat / "dangling.png").symlink_to("/nowhere/cat.png")
    with tarfile.open(cat / "archive.png", "w"):
        pass
    Image.new("F", (8, 8), 0.5).save(cat / "float.tiff")


def _build_used(cat: Path) -> None:
    Image.new("RGB", (1, 1), "blue").save(cat / "one pixel.png")
    frames = [picture(f"frame {i}").quantize(16) for i in range(3)]
    frames[0].save(cat / "animated.gif", save_all=True, append_images=frames[1:])
    for name in ("사진 🐈.png", " .png"):
        _save(cat / name, picture(name))
    (cat / "wrong suffix.jpg").write_bytes(_encoded(picture("wrong suffix"), "PNG"))
    (cat / "UPPER.JPG").write_bytes(_encoded(picture("upper"), "JPEG"))
    picture("grey").convert("L").save(cat / "grey.png")
    sixteen = np.random.default_rng(0).integers(0, 65_536, (9, 7), np.uint16)
    Image.fromarray(sixteen).save(cat / "sixteen bits.png")
    picture("palette").quantize(8).save(cat / "palette.gif")
    picture("alpha").convert("RGBA").save(cat / "alpha.webp")
    picture("cmyk").convert("CMYK").save(cat / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture("turned").save(cat / "turned.jpg", exif=exif)
    (cat / "link.png").symlink_to("0.png")


def _save(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def _bomb(side: int) -> bytes:
    """A valid PNG of `side` squared grey pixels, all black, in 190 kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


if __name__ == "__main__":
    build_nasty(Path(sys.argv[1]) / "nasty")
    build_refused(Path(sys.argv[1]) / "refused")

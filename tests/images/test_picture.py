from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from convforge.errors import DataError
from convforge.images.picture import MAX_PIXELS, decode, is_grey

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (7, 5, 3), np.uint8)
GREY = RNG.integers(0, 256, (7, 5), np.uint8)
SIXTEEN = np.arange(65536, dtype=np.uint16).reshape(256, 256)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(*, side: int = 32) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (side, side, 3), np.uint8))


def saved(folder, name: str, content: bytes):
    path = folder / name
    path.write_bytes(content)
    return path


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 99) + b"IDAT"


LOSSLESS = {
    "PNG": {},
    "BMP": {},
    "TIFF": {},
    "PPM": {},
    "WEBP": {"lossless": True, "exact": True},
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_files_give_back_their_pixels(kind, tmp_path):
    path = saved(tmp_path, "image", encoded(Image.fromarray(RGB), kind, **LOSSLESS[kind]))
    np.testing.assert_array_equal(decode(path), RGB)
    np.testing.assert_array_equal(decode(str(path)), RGB)


def test_the_content_decides_the_format_not_the_suffix(tmp_path):
    path = saved(tmp_path, "really_a_png.jpg", encoded(Image.fromarray(RGB), "PNG"))
    np.testing.assert_array_equal(decode(path), RGB)


def test_jpeg_is_what_pillow_decodes(tmp_path):
    content = encoded(noise(), "JPEG")
    expected = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(decode(saved(tmp_path, "a.jpg", content)), expected)


def test_the_result_is_writable_contiguous_memory_of_its_own(tmp_path):
    pixels = decode(saved(tmp_path, "a.png", encoded(Image.fromarray(RGB), "PNG")))
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert pixels.dtype == np.uint8


def test_grey_is_repeated_into_three_channels(tmp_path):
    expected = np.repeat(GREY[:, :, None], 3, axis=2)
    path = saved(tmp_path, "a.png", encoded(Image.fromarray(GREY), "PNG"))
    for image in (path, Image.fromarray(GREY), GREY, GREY[:, :, None]):
        np.testing.assert_array_equal(decode(image), expected)


def test_black_and_white_becomes_0_and_255():
    picture = Image.fromarray(GREY).convert("1", dither=Image.Dither.NONE)
    expected = np.where(np.asarray(picture), 255, 0)
    np.testing.assert_array_equal(decode(picture)[..., 1], expected)


def test_palettes_are_looked_up(tmp_path):
    indexes = RNG.integers(0, 4, (6, 6), np.uint8)
    palette = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    picture = Image.fromarray(indexes)
    picture.putpalette(palette.tobytes())
    for kind in ("PNG", "GIF", "BMP"):
        path = saved(tmp_path, f"a.{kind}", encoded(picture, kind))
        np.testing.assert_array_equal(decode(path), palette[indexes])


def test_cmyk_jpeg_gives_the_colours_that_went_in(tmp_path):
    red = Image.new("RGB", (16, 16), (230, 40, 60))
    path = saved(tmp_path, "a.jpg", encoded(red.convert("CMYK"), "JPEG", quality=100))
    assert np.abs(decode(path).astype(int) - (230, 40, 60)).max() <= 4


def test_ycbcr_in_memory_gives_rgb():
    picture = Image.new("RGB", (4, 4), (200, 30, 90)).convert("YCbCr")
    np.testing.assert_array_equal(decode(picture), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_rounded_to_8_bits_for_every_value(kind, tmp_path):
    path = saved(tmp_path, "a", encoded(Image.fromarray(SIXTEEN), kind))
    expected = np.rint(SIXTEEN * (255 / 65535)).astype(np.uint8)
    for channel in range(3):
        np.testing.assert_array_equal(decode(path)[..., channel], expected)


def test_16_bit_grey_in_memory_in_either_byte_order():
    for mode, kind in (("I;16", "<u2"), ("I;16B", ">u2")):
        picture = Image.frombytes(mode, (256, 256), SIXTEEN.astype(kind).tobytes())
        np.testing.assert_array_equal(decode(picture)[..., 0], np.rint(SIXTEEN * (255 / 65535)))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_without_a_fixed_range_are_refused(mode, tmp_path):
    picture = Image.new(mode, (4, 4), 7)
    with pytest.raises(DataError, match="32-bit pixels have no fixed range"):
        decode(picture)
    path = saved(tmp_path, "a.tif", encoded(picture, "TIFF"))
    with pytest.raises(DataError, match=r"a\.tif.*32-bit pixels have no fixed range"):
        decode(path)


def test_float_pixels_are_refused_in_the_one_format_of_ours_that_has_them(tmp_path):
    path = saved(tmp_path, "a.ppm", b"Pf\n2 2\n-1.0\n" + bytes(16))
    with Image.open(path) as picture:
        assert picture.mode == "F"
    with pytest.raises(DataError, match="32-bit pixels have no fixed range"):
        decode(path)


def test_a_colour_key_of_16_bit_grey_is_laid_over_white(tmp_path):
    picture = Image.fromarray(np.array([[300, 301]], np.uint16))
    path = saved(tmp_path, "a.png", encoded(picture, "PNG", transparency=300))
    assert decode(path)[0, :, 0].tolist() == [255, 1]


def test_alpha_is_laid_over_white(tmp_path):
    values = np.stack(np.meshgrid(np.arange(0, 256, 5), np.arange(256), indexing="ij"), axis=-1)
    colour, alpha = values[..., :1].astype(np.uint8), values[..., 1:].astype(np.uint8)
    rgba = np.concatenate([colour, colour // 2, 255 - colour, alpha], axis=2)
    opacity = alpha / 255
    expected = rgba[..., :3] * opacity + 255 * (1 - opacity)
    path = saved(tmp_path, "a.png", encoded(Image.fromarray(rgba), "PNG"))
    for image in (rgba, Image.fromarray(rgba), path):
        pixels = decode(image)
        assert np.abs(pixels - expected).max() <= 0.5 + 1e-9
        np.testing.assert_array_equal(pixels[:, 0], 255)
        np.testing.assert_array_equal(pixels[:, 255], rgba[:, 255, :3])


def test_grey_with_alpha_is_laid_over_white():
    picture = Image.merge("LA", [Image.new("L", (3, 3), 100), Image.new("L", (3, 3), 51)])
    assert set(decode(picture).ravel()) == {224}  # 100 * 0.2 + 255 * 0.8


def test_a_colour_key_is_laid_over_white(tmp_path):
    for mode, key in (("RGB", (1, 2, 3)), ("L", 5)):
        picture = Image.new(mode, (2, 1), key)
        picture.putpixel((1, 0), 0 if mode == "L" else (9, 9, 9))
        path = saved(tmp_path, "a.png", encoded(picture, "PNG", transparency=key))
        left, right = decode(path)[0]
        assert left.tolist() == [255, 255, 255]
        assert right.tolist() == ([0, 0, 0] if mode == "L" else [9, 9, 9])


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_a_transparent_palette_entry_is_laid_over_white(transparency, tmp_path):
    picture = Image.new("P", (2, 1), 0)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    path = saved(tmp_path, "a.png", encoded(picture, "PNG", transparency=transparency))
    assert decode(path)[0].tolist() == [[10, 20, 30], [255, 255, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation_turns_the_picture_upright(kind, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(RGB), kind, exif=exif.tobytes())
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    assert expected.shape == ((7, 5, 3) if orientation < 5 else (5, 7, 3))
    np.testing.assert_array_equal(decode(saved(tmp_path, "a", content)), expected)
    np.testing.assert_array_equal(decode(Image.open(io.BytesIO(content))), expected)


def test_exif_that_cannot_be_read_leaves_the_picture_as_stored(tmp_path):
    content = encoded(Image.fromarray(RGB), "PNG", exif=b"Exif\0\0 no such thing")
    np.testing.assert_array_equal(decode(saved(tmp_path, "a.png", content)), RGB)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(kind, tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(content)).n_frames == 2
    assert (decode(saved(tmp_path, "a", content)) == (255, 0, 0)).all()


# ---- what is refused ----


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_truncated_file_is_refused_by_name(kind, share, tmp_path):
    content = encoded(noise(), kind)
    path = saved(tmp_path, "cut.jpg", content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"cut\.jpg"):
        decode(path)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.jpg: is empty; expected one of JPEG, PNG, BMP"):
        decode(saved(tmp_path, "a.jpg", b""))


def test_a_text_named_jpg_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.jpg: is not an image"):
        decode(saved(tmp_path, "a.jpg", b"not a picture at all\n" * 20))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.jpg: no such file"):
        decode(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="is a folder; expected an image file"):
        decode(tmp_path)


def test_a_format_that_starts_programs_is_refused(tmp_path):
    content = encoded(noise(), "EPS")
    assert Image.open(io.BytesIO(content)).format == "EPS"
    with pytest.raises(DataError, match="is not an image"):
        decode(saved(tmp_path, "a.png", content))


@pytest.mark.parametrize(("width", "height"), [(32_769, 1), (1, 32_769), (20_000, 10_000)])
def test_a_size_over_the_limit_is_refused_by_the_header(width, height, tmp_path):
    path = saved(tmp_path, "bomb.png", png_header(width, height))
    with pytest.raises(DataError, match=r"bomb\.png.*make the image smaller"):
        decode(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_size_just_below_the_limit_is_let_through_to_the_decoder(tmp_path):
    width, height = 13_377, 13_377
    assert width * height < MAX_PIXELS < (width + 1) * (height + 1)
    path = saved(tmp_path, "large.png", png_header(width, height))
    with pytest.raises(DataError, match=r"large\.png: damaged or cut short"):
        decode(path)


@pytest.mark.parametrize("shape", [(32_769, 1, 3), (32_769, 1)])
def test_an_array_over_the_limit_is_refused(shape):
    with pytest.raises(DataError, match="image array: 1x32769 pixels, over the limit"):
        decode(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_, np.uint16])
def test_an_array_of_another_type_is_refused(dtype):
    with pytest.raises(DataError, match=f"expected uint8 values 0…255, got {np.dtype(dtype)}"):
        decode(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize(
    "shape", [(), (4,), (3, 8, 8), (8, 8, 2), (8, 8, 5), (1, 8, 8, 3), (0, 8, 3), (8, 0), (8, 8, 0)]
)
def test_an_array_of_another_shape_is_refused(shape):
    with pytest.raises(DataError, match="expected one image of shape"):
        decode(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("image", [None, 3, b"bytes", [[0, 1], [2, 3]]])
def test_another_type_of_image_is_refused(image):
    with pytest.raises(DataError, match="expected a path, a Pillow image or a uint8 array"):
        decode(image)


def test_a_contiguous_rgb_array_is_not_copied():
    np.testing.assert_array_equal(decode(RGB), RGB)
    assert np.shares_memory(decode(RGB), RGB)


def test_a_strided_array_becomes_contiguous():
    view = RGB[::2, ::-1]
    assert decode(view).flags.c_contiguous
    np.testing.assert_array_equal(decode(view), view)


def pixels_or_none(path):
    try:
        return decode(path)
    except DataError:
        return None


FUZZED = {
    kind: encoded(noise(side=16), kind)
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP")
}


@pytest.mark.filterwarnings("ignore")  # Pillow's, about damaged metadata
@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(sorted(FUZZED)),
    edits=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_any_damaged_file_gives_pixels_or_a_data_error(kind, edits, tmp_path_factory):
    content = bytearray(FUZZED[kind])
    for place, value in edits:
        content[place % min(len(content), 200)] = value  # most of what can break is in the header
    path = saved(tmp_path_factory.getbasetemp(), "fuzzed", bytes(content))
    pixels = pixels_or_none(path)
    assert pixels is None or (pixels.dtype == np.uint8 and pixels.shape[2:] == (3,))


# ---- the header ----


@pytest.mark.parametrize(
    ("mode", "kind", "grey"),
    [
        ("1", "PNG", True),
        ("L", "PNG", True),
        ("L", "JPEG", True),
        ("LA", "PNG", True),
        ("I;16", "PNG", True),
        ("I;16", "PPM", True),
        ("P", "PNG", False),
        ("RGB", "PNG", False),
        ("RGB", "JPEG", False),
        ("RGBA", "PNG", False),
        ("CMYK", "JPEG", False),
    ],
)
def test_grey_is_what_the_header_says(mode, kind, grey):
    assert is_grey(io.BytesIO(encoded(Image.new(mode, (4, 4)), kind))) is grey


def test_a_header_that_cannot_be_read_says_nothing():
    assert is_grey(io.BytesIO(b"no image")) is None

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convforge.compiler.kernels.resize import emit_preprocess, scratch_bytes
from convforge.errors import DataError, UnsupportedError
from convforge.images.preprocess import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MAX_SIDE,
    Interpolation,
    Preprocess,
)

INTERPOLATIONS = get_args(Interpolation)
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off")
SANITIZE = ("-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all", "-g")
CANARY = 0xA5

ZIG_CC = (sys.executable, "-m", "ziglang", "cc")
ZIG = pytest.mark.skipif(not importlib.util.find_spec("ziglang"), reason="no ziglang")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"no {program} on PATH")


COMPILERS = [
    pytest.param(("cc",), id="cc", marks=needs("cc")),
    pytest.param(ZIG_CC, id="zig", marks=ZIG),
]

# Reads records of (width, height, pixels) and answers each with its code and output, from blocks of
# exactly the size that the interface promises: one byte past them is an error that ASan reports.
DRIVER = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
int cf_preprocess(const uint8_t *rgb, int32_t width, int32_t height, float *out, void *scratch);
int main(void)
{
    int32_t side[2];
    while (fread(side, sizeof side, 1, stdin) == 1) {
        const size_t bytes = 3 * (size_t)side[0] * (size_t)side[1];
        uint8_t *rgb = malloc(bytes);
        float *out = malloc(FLOATS * sizeof(float));
        void *scratch = aligned_alloc(64, SCRATCH);
        if (!rgb || !out || !scratch || fread(rgb, 1, bytes, stdin) != bytes)
            return 2;
        if (cf_preprocess(rgb, side[0], side[1], out, scratch))
            return 3;
        if (fwrite(out, sizeof(float), FLOATS, stdout) != FLOATS)
            return 4;
        free(scratch);
        free(out);
        free(rgb);
    }
    return 0;
}
"""


class Compiled:
    """The emitted function of one record, called on an image as `Preprocess` is."""

    def __init__(self, preprocess: Preprocess, library) -> None:
        self.preprocess = preprocess
        self._function = ctypes.CDLL(str(library)).cf_preprocess
        self._scratch_bytes = scratch_bytes(preprocess)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        code, out = self.run(image, width=image.shape[1], height=image.shape[0])
        assert code == 0
        return out

    def run(self, image: np.ndarray, *, width: int, height: int) -> tuple[int, np.ndarray]:
        image = np.ascontiguousarray(image)
        out = np.full(self.preprocess.input_shape, np.nan, np.float32)
        block = np.full(self._scratch_bytes + 192, CANARY, np.uint8)
        start = 64 + -block.ctypes.data % 64
        code = self._function(
            ctypes.c_void_p(image.ctypes.data),
            ctypes.c_int32(width),
            ctypes.c_int32(height),
            ctypes.c_void_p(out.ctypes.data),
            ctypes.c_void_p(block.ctypes.data + start),
        )
        assert (block[:start] == CANARY).all()
        assert (block[start + self._scratch_bytes :] == CANARY).all()
        return code, out


def compile_c(folder, preprocess: Preprocess, *, compiler=("cc",), flags=("-O3",)) -> Compiled:
    source, library = folder / "preprocess.c", folder / "preprocess.so"
    source.write_text(emit_preprocess(preprocess))
    command = [*compiler, *STRICT, *flags, "-shared", "-fPIC", str(source), "-o", str(library)]
    subprocess.run([*command, "-lm"], check=True)
    return Compiled(preprocess, library)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Record → its compiled function; each record is compiled once."""
    return cache(lambda preprocess: compile_c(tmp_path_factory.mktemp("c"), preprocess))


def attempt(command, *, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command that may fail; what it said is in the result."""
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def noise(height: int, width: int) -> np.ndarray:
    """Pixels at both ends of the range more often than not, so that sums have to be clipped."""
    rng = np.random.default_rng([height, width])
    pixels = rng.integers(-128, 384, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def record(*, resize, crop, interpolation="bicubic", channels=3) -> Preprocess:
    return Preprocess(
        resize=resize,
        crop=crop,
        mean=IMAGENET_MEAN[:channels],
        std=IMAGENET_STD[:channels],
        interpolation=interpolation,
    )


def assert_same_bits(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(actual.view(np.uint32), expected.view(np.uint32))


# Each filter with the short side given and stretched, grey and in colour.
TARGETS = ((21, (18, 20)), ((24, 31), (24, 30)))
RECORDS = [
    record(resize=resize, crop=crop, interpolation=interpolation, channels=channels)
    for interpolation, (resize, crop), channels in product(INTERPOLATIONS, TARGETS, (1, 3))
]


@settings(max_examples=200, deadline=None)
@given(preprocess=st.sampled_from(RECORDS), height=st.integers(1, 120), width=st.integers(1, 120))
def test_any_size_gives_pythons_bits(compiled, preprocess, height, width):
    image = noise(height, width)
    assert_same_bits(compiled(preprocess)(image), preprocess(image))


@pytest.mark.slow
@pytest.mark.parametrize("preprocess", RECORDS)
def test_any_size_up_to_5000_gives_pythons_bits(compiled, preprocess):
    rng = np.random.default_rng(7)
    for height, width in np.exp(rng.uniform(0, np.log(5000), (40, 2))).astype(int):
        image = noise(height, width)
        assert_same_bits(compiled(preprocess)(image), preprocess(image))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_pixels_are_pillows_byte_for_byte(compiled, interpolation):
    for mode, channels in (("RGB", 3), ("L", 1)):
        preprocess = Preprocess(
            resize=(57, 43),
            crop=(57, 43),
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            interpolation=interpolation,
        )
        image = noise(190, 201)
        picture = Image.fromarray(image).convert(mode)
        expected = picture.resize((43, 57), Image.Resampling[interpolation.upper()])
        actual = np.moveaxis(compiled(preprocess)(image), 0, -1).squeeze()
        np.testing.assert_array_equal(actual, np.asarray(expected))


# (height, width) of images around what the passes treat apart, for a resize to 24x31.
SIZES = {
    "one pixel": (1, 1),
    "one row": (1, 200),
    "one column": (200, 1),
    "its own size": (24, 31),
    "its own height": (24, 77),
    "its own width": (77, 31),
    "enlarged down, shrunk across": (5, 300),
    "shrunk down, enlarged across: vertical pass first": (300, 5),
    "loses twice the width in height: horizontal pass first": (24 + 80, 31 + 40),
    "loses one row more: vertical pass first": (24 + 81, 31 + 40),
    "vertical pass first over several strips": (4700, 2100),
    "longest row": (3, MAX_SIDE),
    "longest column": (MAX_SIDE, 3),
}


@pytest.mark.parametrize("preprocess", [r for r in RECORDS if r.resize == (24, 31)])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_sizes_at_every_edge_give_pythons_bits(compiled, preprocess, size):
    image = noise(*size)
    assert_same_bits(compiled(preprocess)(image), preprocess(image))


@pytest.mark.parametrize("size", [(1, 1), (1, MAX_SIDE), (MAX_SIDE, 1), (50, 70)])
def test_a_resize_to_one_pixel_averages_the_whole_image(compiled, size):
    preprocess = record(resize=1, crop=(1, 1), interpolation="lanczos")
    image = noise(*size)
    assert_same_bits(compiled(preprocess)(image), preprocess(image))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_usual_256_to_224_compiles_without_warnings_and_gives_pythons_bits(
    tmp_path, compiler, interpolation
):
    preprocess = record(resize=256, crop=(224, 224), interpolation=interpolation)
    function = compile_c(tmp_path, preprocess, compiler=compiler)
    for size in ((375, 500), (600, 401), (1000, 300), (90, 64)):
        image = noise(*size)
        assert_same_bits(function(image), preprocess(image))


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-Os"])
def test_optimisation_does_not_show_in_the_bits(tmp_path, level):
    preprocess = record(resize=64, crop=(57, 57))
    image = noise(301, 203)
    function = compile_c(tmp_path, preprocess, flags=(level,))
    assert_same_bits(function(image), preprocess(image))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64 assembly")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("gcc", "-ffp-contract=fast"), id="gcc", marks=needs("gcc")),
        pytest.param((*ZIG_CC, "-ffp-contract=on"), id="zig", marks=ZIG),
    ],
)
def test_no_multiply_is_fused_with_an_add_unless_clang_is_told_to(tmp_path, command):
    (tmp_path / "preprocess.c").write_text(emit_preprocess(record(resize=64, crop=(57, 57))))
    flags = ["-std=gnu11", "-O3", "-mfma", "-S", "preprocess.c", "-o", "preprocess.s"]
    subprocess.run([*command, *flags], cwd=tmp_path, check=True)
    assembly = (tmp_path / "preprocess.s").read_text()
    assert "vmulsd" in assembly
    assert "vfm" not in assembly
    assert "vfnm" not in assembly


def test_inexact_arithmetic_is_refused_by_the_text_itself(tmp_path):
    source = tmp_path / "preprocess.c"
    source.write_text(emit_preprocess(record(resize=32, crop=(32, 32))))
    done = attempt(["cc", "-std=c11", "-ffast-math", "-fsyntax-only", str(source)])
    assert done.returncode != 0
    assert b"no -ffast-math" in done.stderr


@pytest.mark.parametrize(
    ("width", "height"),
    [(0, 5), (5, 0), (-1, 5), (5, -3), (MAX_SIDE + 1, 5), (5, MAX_SIDE + 1), (2**31 - 1, -(2**31))],
)
def test_sizes_out_of_range_are_refused_before_anything_is_read(compiled, width, height):
    for preprocess in RECORDS[:3]:
        function = compiled(preprocess)
        code, out = function.run(np.zeros((1, 1, 3), np.uint8), width=width, height=height)
        assert code == 1
        assert np.isnan(out).all()


@pytest.mark.parametrize("size", [(7, 17), (17, 7), (7, 34), (7, 41)])
def test_the_long_side_is_multiplied_before_it_is_divided(compiled, size):
    long, short = max(size), min(size)
    assert int(21 * long / short) != int(21 * (long / short))
    preprocess = record(resize=21, crop=(21, 20))
    image = noise(*size)
    assert_same_bits(compiled(preprocess)(image), preprocess(image))


def test_a_long_side_is_refused_where_python_refuses_it(compiled):
    preprocess = record(resize=2, crop=(2, 2))
    longest = noise(1, MAX_SIDE // 2)
    assert_same_bits(compiled(preprocess)(longest), preprocess(longest))
    longer = noise(1, MAX_SIDE // 2 + 1)
    with pytest.raises(DataError, match="over the limit"):
        preprocess(longer)
    for image in (longer, longer.transpose(1, 0, 2)):
        code, out = compiled(preprocess).run(image, width=image.shape[1], height=image.shape[0])
        assert code == 1
        assert np.isnan(out).all()


def test_threads_with_their_own_scratch_do_not_meet(compiled):
    preprocess = record(resize=64, crop=(57, 57))
    function = compiled(preprocess)
    images = [noise(200 + 7 * i, 300 - 11 * i) for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        for image, actual in zip(images * 4, pool.map(function, images * 4), strict=True):
            assert_same_bits(actual, preprocess(image))


@needs("nm")
def test_the_unit_writes_no_globals_and_allocates_nothing(tmp_path):
    source, unit = tmp_path / "preprocess.c", tmp_path / "preprocess.o"
    source.write_text(emit_preprocess(record(resize=64, crop=(57, 57), interpolation="lanczos")))
    subprocess.run(["cc", *STRICT, "-O2", "-c", str(source), "-o", str(unit)], check=True)
    listing = subprocess.run(["nm", str(unit)], check=True, capture_output=True, text=True)
    symbols = [line.split()[-2:] for line in listing.stdout.splitlines()]
    assert {name for kind, name in symbols if kind in "TVW"} == {"cf_preprocess"}
    assert not [name for kind, name in symbols if kind in "BbDdCGgSs"]
    assert {name for kind, name in symbols if kind == "U"} <= {"memset", "memcpy", "sin"}


@pytest.fixture(scope="module")
def sanitizers(tmp_path_factory):
    """Flags of the sanitizers; skips where the compiler has no runtime for them."""
    program = tmp_path_factory.mktemp("sanitizers") / "probe"
    probe = ["cc", *SANITIZE, "-xc", "-", "-o", str(program)]
    built = attempt(probe, stdin=b"int main(void) { return 0; }")
    if built.returncode or attempt([program]).returncode:
        pytest.skip("cc has no runtime for the address and undefined-behaviour sanitizers")
    return SANITIZE


@pytest.mark.parametrize(
    ("interpolation", "channels"), [("box", 1), ("bilinear", 3), ("bicubic", 1), ("lanczos", 3)]
)
def test_sanitizers_find_nothing(tmp_path, sanitizers, interpolation, channels):
    size = {"resize": (24, 31), "crop": (23, 30)}
    preprocess = record(**size, interpolation=interpolation, channels=channels)
    (tmp_path / "preprocess.c").write_text(emit_preprocess(preprocess))
    (tmp_path / "driver.c").write_text(DRIVER)
    sizes = [f"-DSCRATCH={scratch_bytes(preprocess)}", f"-DFLOATS={channels * 23 * 30}"]
    command = ["cc", *STRICT, "-O1", *sanitizers, *sizes, "preprocess.c", "driver.c", "-o", "run"]
    subprocess.run([*command, "-lm"], cwd=tmp_path, check=True)
    images = [noise(*size) for size in SIZES.values()]
    records = b"".join(
        struct.pack("=ii", image.shape[1], image.shape[0]) + image.tobytes() for image in images
    )
    done = attempt([tmp_path / "run"], stdin=records)
    assert done.returncode == 0, done.stderr.decode()
    actual = np.frombuffer(done.stdout, np.float32).reshape(-1, *preprocess.input_shape)
    for image, out in zip(images, actual, strict=True):
        assert_same_bits(out, preprocess(image))


def test_the_same_record_gives_the_same_text_in_another_process():
    program = (
        "from convforge.compiler.kernels.resize import emit_preprocess\n"
        "from convforge.images.preprocess import Preprocess\n"
        "print(emit_preprocess(Preprocess.from_json({fields!r})), end='')"
    )
    for interpolation in INTERPOLATIONS:
        preprocess = record(resize=256, crop=(224, 224), interpolation=interpolation)
        assert emit_preprocess(preprocess) == emit_preprocess(preprocess)
    done = subprocess.run(
        [sys.executable, "-c", program.format(fields=preprocess.to_json())],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},
    )
    assert done.stdout == emit_preprocess(preprocess)


def test_scratch_is_under_2_mb_for_224_pixels_and_whole_lines():
    for interpolation in INTERPOLATIONS:
        preprocess = record(resize=256, crop=(224, 224), interpolation=interpolation)
        assert scratch_bytes(preprocess) < 2_000_000
        assert scratch_bytes(preprocess) % 64 == 0


@pytest.mark.parametrize(
    ("field", "values"),
    [("mean", (1e39, 0.0, 0.0)), ("std", (1.0, 1e39, 1.0)), ("std", (1.0, 1.0, 1e-50))],
)
def test_constants_without_a_float32_are_refused(field, values):
    fields = {"mean": (0.0,) * 3, "std": (1.0,) * 3, field: values}
    with pytest.raises(UnsupportedError, match=f"{field} .* has no float32"):
        emit_preprocess(Preprocess(resize=8, crop=(8, 8), **fields))

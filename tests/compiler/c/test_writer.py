from __future__ import annotations

import ctypes
import subprocess

import numpy as np
import pytest

from convforge.compiler.backend.toolchain import find_compiler
from convforge.compiler.c.writer import Writer, c_float, c_string

FLOATS = np.array(
    [0.0, -0.0, 1.0, -1.5, 1 / 3, np.pi, 1e-45, -1e-38, 3.4028235e38, np.inf, -np.inf, np.nan],
    np.float32,
)
TEXTS = (
    "",
    "plain",
    "quotes \" and ' and back\\slashes \\n",
    "line\nbreak\r\ttab\0nul\x7f",
    "comment */ /* // and trigraphs ??/ ??= ??( and %d",
    "digits after an escape: \x011 \n7",
    "über 고양이 🐈‍⬛ \u202e right to left",
    "?" * 79 + "\n" + "\\" * 200,
    "".join(map(chr, range(1, 256))),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A library with FLOATS and TEXTS as C reads them back from their literals."""
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, 2**32, 1000, np.uint32).view(np.float32)
    floats = np.concatenate([FLOATS, drawn])
    out = Writer()
    out.line("#include <math.h>")
    out.line("extern const float floats[];")
    out.line("extern const char *const texts[];")
    out.line(f"const float floats[] = {{{', '.join(map(c_float, floats))}}};")
    out.line(f"const char *const texts[] = {{{', '.join(map(c_string, TEXTS))}}};")
    folder = tmp_path_factory.mktemp("literals")
    (folder / "literals.c").write_text(out.text(), "ascii")
    flags = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fPIC", "-shared")
    subprocess.run(
        [*find_compiler(), *flags, "literals.c", "-o", "literals.so"], cwd=folder, check=True
    )
    return ctypes.CDLL(str(folder / "literals.so")), floats


def test_a_float_reads_back_to_the_same_bits(library):
    loaded, floats = library
    found = np.array((ctypes.c_float * len(floats)).in_dll(loaded, "floats"), np.float32)
    numbers = ~np.isnan(floats)
    np.testing.assert_array_equal(found.view(np.uint32)[numbers], floats.view(np.uint32)[numbers])
    assert np.isnan(found[~numbers]).all()


def test_a_text_reads_back_to_the_same_bytes(library):
    loaded, _ = library
    found = (ctypes.c_void_p * len(TEXTS)).in_dll(loaded, "texts")
    for text, pointer in zip(TEXTS, found, strict=True):
        expected = text.encode()
        assert ctypes.string_at(pointer, len(expected) + 1) == expected + b"\0"


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (1.5, "0x1.8000000000000p+0f"),
        (-0.1, "-0x1.99999a0000000p-4f"),  # rounded to float32 first
        (1e39, "INFINITY"),
        (-1e39, "-INFINITY"),
        (float("nan"), "NAN"),
    ],
)
def test_a_float_is_hexadecimal_or_a_macro(value, literal):
    assert c_float(value) == literal


def test_a_string_has_no_long_lines_and_only_plain_characters():
    text = "고양이" * 500
    lines = c_string(text).split("\n    ")
    assert max(map(len, lines)) < 100
    assert all(" " <= char < "\x7f" and char != "?" for line in lines for char in line)


def test_blocks_indent_what_is_inside_them():
    out = Writer()
    with out.block("void f(void)"):
        with out.loop("i", 3), out.block("if (i)"):
            out.line("g(i);")
        out.line()
        out.line("h();")
    assert out.text() == (
        "void f(void) {\n"
        "    for (int i = 0; i < 3; i++) {\n"
        "        if (i) {\n"
        "            g(i);\n"
        "        }\n"
        "    }\n"
        "\n"
        "    h();\n"
        "}\n"
    )

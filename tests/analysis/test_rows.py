import pytest

from convforge.analysis.arithmetic import Window
from convforge.analysis.rows import (
    HEADINGS,
    Geometry,
    Row,
    View,
    bytes_text,
    cells,
    count_text,
    shape_text,
    view_text,
    window_text,
)


def geometry(rows, columns=None, groups=1):
    return Geometry(operator="convolution", rows=rows, columns=columns or rows, groups=groups)


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (geometry(Window(kernel=5)), "5x5"),
        (geometry(Window(kernel=3, stride=2, padding=1)), "3x3 /2 p1"),
        (geometry(Window(kernel=3, stride=2, padding=(0, 1))), "3x3 /2 p0,1"),
        (geometry(Window(kernel=3), Window(kernel=1, stride=2)), "3x1 /1,2"),
        (geometry(Window(kernel=1), Window(kernel=3, padding=1)), "1x3 p0,0,1,1"),
        (geometry(Window(kernel=3, dilation=2), groups=8), "3x3 d2 g8"),
        (None, ""),
    ],
)
def test_a_window_says_what_is_not_plain(window, text):
    assert window_text(window) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (18_816, "18.4 KiB"),
        (1024 * 1023, "1023 KiB"),
        (1024**2, "1 MiB"),
        (553_430_176, "528 MiB"),
        (3 * 1024**3, "3 GiB"),
        (5000 * 1024**3, "5000 GiB"),
    ],
)
def test_bytes_are_in_powers_of_1024(count, text):
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(999, "999"), (61_706, "61.7 K"), (138_357_544, "138 M"), (15_470_264_320, "15.5 G")],
)
def test_counts_are_in_thousands(count, text):
    assert count_text(count) == text


def test_shapes_are_written_as_papers_do():
    assert shape_text((6, 28, 30)) == "28x30x6"
    assert shape_text((84,)) == "84"


def test_a_field_says_when_it_is_the_whole_image_or_unknown():
    assert view_text(View(size=(5, 5), first=(0, 0), jump=(1, 1), whole=False)) == "5"
    assert view_text(View(size=(7, 3), first=(0, 0), jump=None, whole=False)) == "7x3"
    assert view_text(View(size=(7, 7), first=(0, 0), jump=(1, 1), whole=True)) == "all (7)"
    assert view_text(None) == "?"


def test_a_row_has_one_cell_a_heading_empty_where_a_value_does_not_apply():
    row = Row(
        name="flatten",
        kind="Flatten",
        input_shapes=((2, 3, 3),),
        output_shape=(18,),
        geometry=None,
        size_formula="2·3·3 = 18",
        view=None,
        parameters=0,
        parameter_formula="",
        macs=0,
        mac_formula="",
        flops=0,
        activation_bytes=0,
        moved_bytes=0,
        milliseconds=None,
    )
    filled = dict(zip(HEADINGS, cells(row), strict=True))
    assert {name: text for name, text in filled.items() if text} == {
        "layer": "flatten",
        "kind": "Flatten",
        "output": "18",
        "size": "2·3·3 = 18",
        "sees": "?",
    }
    assert row.intensity is None

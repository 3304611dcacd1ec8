from __future__ import annotations

import numpy as np
import pytest

from convforge import images
from convforge.errors import DataError
from convforge.images.decoding import decode_part
from convforge.images.picture import decode
from convforge.images.preprocess import Preprocess

ROWS = ["a/0.png,cat", "a/1.png,dog", "a/2.png,cat", "b/0.png,dog", "b/1.png,cat"]


@pytest.fixture
def table(build):
    """Write a table beside five images; gives its path."""
    root = build({"a": 3, "b": 2})

    def write(*rows, header="filename,label", encoding="utf-8"):
        path = root / "labels.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
        return path

    return write


def test_a_table_without_parts_is_split_by_a_seed(table):
    data = images.open(table(*ROWS), seed=3)
    assert data.classes == ("cat", "dog")
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 3, "test": 2}
    assert data.record()["split"]["seed"] == 3
    part = images.open_for_evaluation(data.uri, classes=data.classes, trained_on=data.record())
    assert part.names == data.splits["test"].names


def test_a_column_split_makes_the_parts(table):
    parts = ["train", "train", "validation", "test", "test"]
    rows = [f"{row},{part}" for row, part in zip(ROWS, parts, strict=True)]
    data = images.open(table(*rows, header="filename,label,split"))
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 2,
        "val": 1,
        "test": 2,
    }
    assert data.record()["split"] == {"method": "folders"}


def test_paths_are_relative_to_the_table(table, tmp_path, monkeypatch):
    path = table(*ROWS)
    monkeypatch.chdir(tmp_path)
    data = images.open(f"csv:{path.relative_to(tmp_path)}")
    for part in data.splits.values():
        for i, name in enumerate(part.names):
            np.testing.assert_array_equal(part.load(i), decode(path.parent / name))


def test_quotes_other_columns_and_a_byte_order_mark_are_understood(table):
    rows = [f'{i},"{row.split(",")[0]}","black, {row.split(",")[1]}"' for i, row in enumerate(ROWS)]
    data = images.open(table(*rows, header="id,filename,label", encoding="utf-8-sig"))
    assert data.classes == ("black, cat", "black, dog")


def test_a_file_that_is_not_there_is_a_bad_image(table):
    data = images.open(table(*ROWS, "c/9.png,cat", "c/8.png,cat"))
    preprocess = Preprocess(resize=4, crop=(4, 4), mean=(0.0,), std=(1.0,))
    bad = [b for part in data.splits.values() for b in decode_part(part, preprocess).bad]
    assert {b.name for b in bad} == {"c/8.png", "c/9.png"}
    assert all("no such file" in b.reason for b in bad)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["x,cat"], "file,label", r"csv:1: no column filename in 'file,label'; expected filename"),
        ([], "", "csv:1: no column filename and label"),
        ([], "filename,label", "no rows below the header"),
        (["a/0.png,"], "filename,label", "csv:2: no label; fill it in"),
        (["a/0.png,x", "a/1.png,a, b"], "filename,label", "csv:3: more cells than the header"),
        (["a/0.png,x,y"], "filename,label,label", "csv:1: 'label' is there twice"),
        (["a/0.png,x", ",cat"], "filename,label", "csv:3: no filename"),
        (["a/0.png"], "filename,label", "csv:2: no label"),
        (["/etc/x.png,cat"], "filename,label", "csv:2: '/etc/x.png' leads out of the table's"),
        (["a/../../x.png,cat"], "filename,label", "leads out of the table's folder"),
        (["a/0.png,cat,dev"], "filename,label,split", "csv:2: split 'dev'; expected one of train"),
        (["a/0.png,cat,"], "filename,label,split", "csv:2: split ''"),
        (["a/0.png,cat", "a/0.png,dog"], "filename,label", r"csv: there twice: a/0\.png"),
        (['a/0.png,"cat"x'], "filename,label", "csv:2: .*; mend the line"),
    ],
)
def test_what_is_no_table_of_images_is_refused_by_its_line(rows, header, message, table):
    with pytest.raises(DataError, match=message):
        images.open(table(*rows, header=header))


def test_other_encodings_and_missing_tables_are_refused(table, tmp_path):
    with pytest.raises(DataError, match="not UTF-8"):
        images.open(table("a/0.png,köter", encoding="latin-1"))
    with pytest.raises(DataError, match=r"absent\.csv: cannot be read \(No such file"):
        images.open(f"csv:{tmp_path}/absent.csv")

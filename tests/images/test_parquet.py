from __future__ import annotations

import io
import json
import pickle
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from convforge import images
from convforge.errors import DataError, PackageError
from convforge.images import parquet
from convforge.images.decoding import decode_part
from convforge.images.picture import decode
from convforge.images.preprocess import Preprocess

PREPROCESS = Preprocess(resize=4, crop=(4, 4), mean=(0.0,) * 3, std=(1.0,) * 3)


def png(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write(path, labels, *, first=0, names=None, as_struct=True, columns=("image", "label")):
    """A file as the hub's are: groups of three rows."""
    contents = [png(first + i) for i in range(len(labels))]
    cells = [{"bytes": content, "path": None} for content in contents] if as_struct else contents
    table = pa.table({columns[0]: cells, columns[1]: labels})
    if names:
        features = {columns[1]: {"names": names, "_type": "ClassLabel"}}
        hub = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": hub})
    pq.write_table(table, path, row_group_size=3)
    return path


def test_files_of_the_hub_open_with_their_class_names(tmp_path):
    names = ["dog", "cat"]
    write(tmp_path / "train-00000-of-00002.parquet", [0, 1, 1, 0, 0], names=names)
    write(tmp_path / "train-00001-of-00002.parquet", [1], first=5, names=names)
    write(tmp_path / "test-00000-of-00001.parquet", [1, 0], first=6, names=names)
    parts = "{train-00000-of-00002,train-00001-of-00002,test-00000-of-00001}"
    data = images.open(f"parquet:{tmp_path}/{parts}.parquet")
    assert data.classes == ("dog", "cat")
    assert data.splits["train"].labels.tolist() == [0, 1, 1, 0, 0, 1]
    assert data.splits["train"].names[5] == "train-00001-of-00002.parquet/000000"
    for part, first in (("train", 0), ("test", 6)):
        for i in range(len(data.splits[part])):
            expected = decode(Image.open(io.BytesIO(png(first + i))))
            np.testing.assert_array_equal(data.splits[part].load(i), expected)


@pytest.mark.parametrize("as_struct", [False, True])
@pytest.mark.parametrize("labels", [["cat", "dog"] * 5, [3, 12] * 5])
def test_one_file_is_split_by_a_seed(labels, as_struct, tmp_path):
    data = images.open(write(tmp_path / "photos.parquet", labels, as_struct=as_struct))
    assert data.classes == tuple(sorted({str(label) for label in labels}))
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 8, "test": 2}


def test_columns_and_classes_can_be_named(tmp_path):
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    path = write(tmp_path / "train.parquet", [1, 0], columns=("jpg", "species"))
    options = f"image=jpg&label=species&classes={tmp_path}/names.txt"
    assert images.open(f"parquet:{path}?{options}").classes == ("ant", "bee")


def test_the_fingerprint_is_that_of_the_folder_with_the_same_images(tmp_path):
    path = write(tmp_path / "train.parquet", ["cat", "dog"])
    for i, label in enumerate(("cat", "dog")):
        (tmp_path / "folder" / "train" / label).mkdir(parents=True)
        (tmp_path / "folder" / "train" / label / "x.png").write_bytes(png(i))
    assert images.open(path).fingerprint == images.open(tmp_path / "folder").fingerprint


def test_a_part_can_be_read_in_any_order_and_in_another_process(tmp_path):
    part = images.open(write(tmp_path / "train.parquet", ["cat", "dog"] * 6)).splits["train"]
    copy = pickle.loads(pickle.dumps(part))
    for i in (11, 0, 5, 10, 1):
        np.testing.assert_array_equal(copy.load(i), decode(Image.open(io.BytesIO(png(i)))))


def test_a_cell_that_is_no_image_is_a_bad_image_by_its_row(tmp_path):
    cells = [{"bytes": png(0)}, {"bytes": b"text"}, None, {"bytes": None}, {"bytes": png(1)}]
    table = pa.table({"image": cells, "label": ["cat", "dog", "cat", "cat", "dog"]})
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=2)
    decoded = decode_part(images.open(tmp_path / "train.parquet").splits["train"], PREPROCESS)
    assert [bad.reason.split(";")[0] for bad in decoded.bad] == [
        f"{tmp_path}/train.parquet: row 1: is not an image, or a damaged one",
        f"{tmp_path}/train.parquet: row 2: is empty",
        f"{tmp_path}/train.parquet: row 3: is empty",
    ]


# ---- what is refused ----


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"image": [b""], "kind": ["a"]}, "no column label among image, kind; name them, as in"),
        ({"x": [1], "y": [2]}, "no column image and label among x, y"),
        ({"image": ["a"], "label": ["a"]}, "column image holds string; expected encoded images"),
        ({"image": [{"path": "a"}], "label": ["a"]}, "column image holds struct<path: string>"),
        ({"image": [b"", b""], "label": ["a", None]}, "row 1: label None; expected a class name"),
        ({"image": [b""], "label": [0.5]}, "row 0: label 0.5; expected a class name"),
    ],
)
def test_columns_that_do_not_fit_are_refused(table, message, tmp_path):
    pq.write_table(pa.table(table), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=rf"train\.parquet: {message}"):
        images.open(tmp_path / "train.parquet")


def test_a_label_beyond_the_names_is_refused(tmp_path):
    path = write(tmp_path / "train.parquet", [0, 0, 0, 2], names=["cat", "dog"])
    with pytest.raises(DataError, match=r"row 3: label 2; expected a number from 0 to 1"):
        images.open(path)


def test_files_with_different_class_names_are_refused(tmp_path):
    write(tmp_path / "train-0.parquet", [0], names=["cat", "dog"])
    write(tmp_path / "train-1.parquet", [0], names=["dog", "cat"])
    with pytest.raises(DataError, match=r"train-1\.parquet: its class names differ"):
        images.open(f"parquet:{tmp_path}/train-{{0..1}}.parquet")


def test_large_row_groups_and_damaged_files_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "train.parquet", ["cat", "dog"])
    monkeypatch.setattr(parquet, "MAX_GROUP_BYTES", 100)
    with pytest.raises(DataError, match=r"row group 0 has .* at most 100: write it with smaller"):
        images.open(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"train\.parquet: not a Parquet file, or damaged"):
        images.open(path)


def test_a_damaged_column_of_labels_is_refused(tmp_path):
    path = write(tmp_path / "train.parquet", ["cat", "dog"])
    column = pq.ParquetFile(path).metadata.row_group(0).column(2)
    assert column.path_in_schema == "label"
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset
    content[start : start + 20] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"column label of row group 0 is damaged"):
        images.open(path)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "train.parquet", ["cat", "dog"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(PackageError, match=r'pip install "convforge\[parquet\]"'):
        images.open(path)

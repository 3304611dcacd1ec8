"""Many images, answered in order and written as answers come."""

import json
import os
import threading

import numpy as np
import pytest

from convforge.answers import Answer, csv_lines, json_lines, predict_images, save_parquet
from convforge.card import Card
from convforge.errors import DataError, InputError
from convforge.images.dataset import Split
from convforge.images.decoding import BATCH
from convforge.images.preprocess import Preprocess
from convforge.prediction import Prediction

PREPROCESS = Preprocess(resize=(4, 4), crop=(4, 4), mean=(0.0,), std=(1.0,))
CAT = Answer(image="a, b.png", predictions=(Prediction("cat", 1, 0.75), Prediction("dog", 0, 0.25)))
BAD = Answer(image="c.png", error="c.png: is not an image")


class Model:
    """Sure of the class that is an image's value modulo 3; of 255 it knows nothing."""

    classes = ("a", "b", "c")
    card = Card(network="", arguments={}, classes=classes, preprocess=PREPROCESS)

    def probabilities(self, images):
        values = [int(image[0, 0, 0]) for image in images]
        table = np.full((len(values), 3), 0.1, np.float32)
        for row, value in enumerate(values):
            table[row, value % 3] = np.nan if value == 255 else 0.8
        return table


def part_of(count, *, bad=(), value=lambda i: i):
    def read(i):
        if i in bad:
            raise DataError(f"{i:03d}.png: is cut")
        return np.full((5, 5, 3), value(i), np.uint8)

    names = tuple(f"{i:03d}.png" for i in range(count))
    return Split(name="paths", names=names, labels=np.zeros(count), read=read)


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 5])
def test_every_image_has_one_answer_in_order(count):
    bad = {0, BATCH - 1, BATCH}
    answers = list(predict_images(Model(), part_of(count, bad=bad), top=1))
    assert [answer.image for answer in answers] == [f"{i:03d}.png" for i in range(count)]
    for i, answer in enumerate(answers):
        if i in bad:
            assert answer == Answer(image=f"{i:03d}.png", error=f"{i:03d}.png: is cut")
        else:
            assert [one.index for one in answer.predictions] == [i % 3]


def test_numbers_that_are_none_are_refused_by_the_name_of_the_image():
    with pytest.raises(InputError, match=r"001\.png.*train it again"):
        list(predict_images(Model(), part_of(3, value=lambda i: 255 if i == 1 else 0)))


def test_threads_end_where_answers_are_no_longer_taken():
    answers = predict_images(Model(), part_of(5 * BATCH))
    next(answers)
    answers.close()
    for thread in threading.enumerate():
        if thread.name.startswith("convforge-ahead"):
            thread.join(5)
            assert not thread.is_alive()


def test_csv_quotes_what_it_must():
    assert list(csv_lines([CAT, BAD])) == [
        "image,rank,label,index,probability\n",
        '"a, b.png",1,cat,1,0.75\n',
        '"a, b.png",2,dog,0,0.25\n',
    ]


@pytest.mark.parametrize("answers", [[], [CAT], [CAT, BAD]])
def test_json_is_one_list_and_comes_in_pieces(answers):
    pieces = list(json_lines(iter(answers)))
    assert json.loads("".join(pieces)) == [answer.to_json() for answer in answers]
    assert len(pieces) == len(answers) + 1


def test_a_parquet_file_that_was_not_finished_is_not_there(tmp_path):
    pytest.importorskip("pyarrow")

    def broken():
        yield CAT
        raise InputError("no numbers")

    with pytest.raises(InputError, match="no numbers"):
        save_parquet(tmp_path / "a.parquet", broken())
    assert list(tmp_path.iterdir()) == []


def test_parquet_is_written_in_groups(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("convforge.answers._ROWS", 2)
    save_parquet(tmp_path / "a.parquet", [CAT, BAD, CAT])
    file = parquet.ParquetFile(tmp_path / "a.parquet")
    assert file.num_row_groups == 2
    rows = file.read().to_pylist()
    assert rows[1] == {"image": "c.png", "error": BAD.error, "predictions": None}
    assert rows[2]["predictions"] == CAT.to_json()["predictions"]


def test_a_name_that_is_no_utf_8_is_written_with_its_bytes(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    name = os.fsdecode(b"caf\xe9.png")
    prediction = Prediction(name, 0, 1.0)
    answers = [Answer(image=name, predictions=(prediction,)), Answer(image="b", error=name)]
    save_parquet(tmp_path / "a.parquet", answers)
    first, second = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert first["image"] == first["predictions"][0]["label"] == "caf\\udce9.png"
    assert second["error"] == "caf\\udce9.png"

"""log.csv: a row an epoch, numbers as they are, written anew."""

from __future__ import annotations

import csv

from convforge.training.log import COLUMNS, read_log, write_log


def test_every_epoch_has_a_row_and_what_is_not_known_is_empty(tmp_path):
    row = dict.fromkeys(COLUMNS[:-2], 1 / 3)
    write_log(tmp_path, [{"epoch": 9}])
    write_log(tmp_path, [{**row, "epoch": 1}, {**row, "epoch": 2, "val_top1": 0.5}])
    with (tmp_path / "log.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == COLUMNS
    assert (first["epoch"], second["epoch"]) == ("1", "2")
    assert (first["val_top1"], second["val_top1"]) == ("", "0.5")
    assert float(first["loss"]) == 1 / 3
    assert read_log(tmp_path) == [{**row, "epoch": 1}, {**row, "epoch": 2, "val_top1": 0.5}]


def test_rows_of_a_state_without_the_loss_on_val_leave_its_column_empty(tmp_path):
    write_log(tmp_path, [{"epoch": 1, "val_top1": 0.5}, {"epoch": 2, "val_loss": 0.25}])
    assert (tmp_path / "log.csv").read_text().splitlines()[1:] == ["1,,,,,,0.5,", "2,,,,,,,0.25"]
    assert read_log(tmp_path) == [{"epoch": 1, "val_top1": 0.5}, {"epoch": 2, "val_loss": 0.25}]


def test_a_run_with_another_end_has_it_in_a_column_more(tmp_path):
    write_log(tmp_path, [{"epoch": 1, "step": 3}, {"epoch": 2, "step": 5, "end": 5}])
    first, second = read_log(tmp_path)
    assert (first, second) == ({"epoch": 1, "step": 3}, {"epoch": 2, "step": 5, "end": 5})


def test_a_folder_without_a_log_has_no_rows(tmp_path):
    assert read_log(tmp_path) == []

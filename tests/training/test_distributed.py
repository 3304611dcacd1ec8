"""Teams of processes on one machine, with gloo: shares, sums, gradients of the whole batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from convforge.classifier import Classifier
from convforge.training.distributed import ALONE, Team, join
from convforge.training.trainer import train

WORKER = Path(__file__).with_name("team_worker.py")


# On the path of every process as `sitecustomize`: notes which puts the classifier's file in place.
WATCH = """
import os, sys

def watch(event, given):
    if event == "os.rename" and os.path.basename(given[1]) == "team.safetensors":
        with open("written", "a") as file:
            file.write(os.environ["RANK"])

sys.addaudithook(watch)
"""
PLAIN = "epochs: 1\nbatch_size: 449\nlearning_rate: 0.01\naugment: {shift: 0}\n"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def run_team(size, *arguments, limit=120):
    """Start `size` processes of the worker as torchrun would; wait for all."""
    place = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), *map(str, arguments)],
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
        )
        for rank in range(size)
    ]
    errors = [process.communicate(timeout=limit)[1].decode() for process in processes]
    assert all(process.returncode == 0 for process in processes), "\n".join(errors)


def test_a_process_alone_shares_with_nobody():
    with join() as team:
        assert team == ALONE
    np.testing.assert_array_equal(ALONE.share(np.arange(5)), np.arange(5))
    np.testing.assert_array_equal(ALONE.sum(np.arange(5.0)), np.arange(5.0))
    assert ALONE.alike({"step": 3})


@pytest.mark.parametrize("size", [2, 3, 5])
def test_shares_have_each_row_once_and_none_is_padded_in(size):
    rows = np.random.default_rng(0).permutation(16)
    shares = [Team(rank, size).share(rows) for rank in range(size)]
    assert sorted(np.concatenate(shares)) == sorted(rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def trained(folder, size):
    if size == 1:
        subprocess.run([sys.executable, str(WORKER), "steps", str(folder / "1")], check=True)
    else:
        run_team(size, "steps", folder / str(size))
    return torch.load(folder / str(size), weights_only=True)


def test_teams_of_two_and_three_learn_as_one_process_does_on_the_same_batches(tmp_path):
    """Three steps of batches of 8, which do not divide by 3, with momentum; losses summed up."""
    alone = trained(tmp_path, 1)
    for size in (2, 3):
        team = trained(tmp_path, size)
        assert set(team) == set(alone)
        for name, value in alone.items():
            torch.testing.assert_close(team[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_a_team_shortens_its_run_by_the_clock_of_the_first_process(tmp_path):
    run_team(2, "limited", tmp_path / "rank")
    first, second = (torch.load(tmp_path / f"rank{rank}") for rank in (0, 1))
    assert first["changes"] == second["changes"]
    assert 4 <= first["changes"][-1]["end"] <= 8, "of 12 steps, in the time of 8"
    assert torch.equal(first["weights"], second["weights"])


def test_a_team_that_sees_different_images_is_refused_in_every_process(tmp_path):
    run_team(2, "apart", tmp_path)
    for rank in (0, 1):
        said = (tmp_path / f"said{rank}").read_text()
        assert "have not all the same images and the same state to go on from" in said
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.slow
def test_a_command_by_torchrun_learns_as_one_process_does_writes_once_and_speaks_once(tmp_path):
    """Three steps of 449 digits, not augmented, since each process draws its own."""
    (tmp_path / "plain.yaml").write_text(PLAIN)
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    team = ["--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", free_port()]
    work = ["train", "digits", "-n", "lenet5_relu", "--recipe", "plain.yaml"]
    words = ["torch.distributed.run", *team, "-m", "convforge", *work, "-o", "team.safetensors"]
    found = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "written").read_text() == "0"
    for said in (
        "lenet5_relu on digits",
        "test: ",
        "saved as team.safetensors",
        "report: team.run",
    ):
        assert found.stdout.count(said) == 1, found.stdout
    assert "2 processes of 1" in (tmp_path / "team.run" / "report.html").read_text()
    one = train("digits", network="lenet5_relu", recipe=tmp_path / "plain.yaml")
    both = Classifier.load(tmp_path / "team.safetensors")
    assert both.card.metrics["train"]["count"] == one.card.metrics["train"]["count"] == 3 * 449
    assert both.card.metrics["test"]["count"] == 450
    learnt = both.net.state_dict()
    for name, value in one.net.state_dict().items():
        torch.testing.assert_close(learnt[name], value, rtol=1e-4, atol=1e-6, msg=name)

"""Two processes are never at work in the same folder."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from convforge.errors import OutputError
from convforge.training.lock import alone_in

HOLD = """
import sys, time
from pathlib import Path
from convforge.training.lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(60)
"""


def test_a_second_one_is_refused_until_the_first_is_out(tmp_path):
    with alone_in(tmp_path):
        with pytest.raises(OutputError, match="at work there; wait"), alone_in(tmp_path):
            pytest.fail("both are in")
        with alone_in(Path(tmp_path.parent)):
            pass
    with alone_in(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_one_that_is_killed_is_out(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"in\n"
        with pytest.raises(OutputError, match="another process"), alone_in(tmp_path):
            pass
        process.kill()
    with alone_in(tmp_path):
        pass


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    with alone_in(tmp_path), alone_in(tmp_path):
        pass

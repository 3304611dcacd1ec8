import time

import pytest
import torch
from torch import nn

from convforge.analysis.summary import describe
from convforge.analysis.timing import time_steps
from convforge.errors import NetworkError


class Slow(nn.Module):
    def forward(self, x):
        return torch.ops.convforge_test.slow(x)


torch.library.define("convforge_test::slow", "(Tensor x) -> Tensor")


@torch.library.impl("convforge_test::slow", "CompositeExplicitAutograd")
def slow(x):
    if x.device.type != "meta":
        time.sleep(0.02)
    return x.clone()


def test_the_layer_that_takes_the_time_gets_it_and_the_whole_takes_longer():
    summary = describe(nn.Sequential(nn.ReLU(), Slow(), nn.ReLU()), input_shape=(1, 2, 2), timing=3)
    first, slow_row, last = [row.milliseconds for row in summary.rows]
    assert slow_row >= 20
    assert max(first, last) < slow_row
    assert summary.timing.total_ms >= 20
    assert (summary.timing.runs, summary.timing.threads) == (3, torch.get_num_threads())


def test_a_forward_is_timed_as_often_as_asked():
    runs = []

    class Counting(nn.Module):
        def forward(self, x):
            runs.append(x.device.type)
            return x + 1

    time_steps(Counting(), (1, 2, 2), runs=4)
    assert runs == ["cpu"] * (2 + 2 * 4)  # warm-up, then whole and row by row


def test_timing_leaves_modes_and_hooks_as_they_were():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Dropout())
    time_steps(net, (1, 2, 2), runs=1)
    assert net.training
    assert not net[0]._forward_hooks


def test_without_timing_nothing_runs_on_the_cpu_and_rows_have_no_time():
    net = nn.Sequential(Slow())
    start = time.perf_counter()
    summary = describe(net, input_shape=(1, 2, 2))
    assert time.perf_counter() - start < 10
    assert summary.timing is None
    assert summary.rows[0].milliseconds is None


def test_timing_refuses_no_runs_and_weights_that_are_not_on_the_cpu():
    with pytest.raises(NetworkError, match="at least 1 run, got 0"):
        describe(nn.Sequential(nn.Conv2d(1, 1, 1)), input_shape=(1, 2, 2), timing=0)
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(1, 1, 1))
    with pytest.raises(NetworkError, match=r"weights are on meta; move the network .*cpu"):
        describe(net, input_shape=(1, 2, 2), timing=1)


class Unlike(nn.Module):
    def forward(self, x):
        return x.relu() if x.device.type == "meta" else x.sigmoid().neg()


def test_a_network_that_runs_otherwise_on_the_cpu_is_not_timed_row_by_row():
    class Wrap(nn.Module):
        def __init__(self):
            super().__init__()
            self.child = nn.Identity()

        def forward(self, x):
            return self.child(Unlike().forward(x))

    with pytest.raises(NetworkError, match="runs other operators than those traced"):
        describe(Wrap(), input_shape=(1, 2, 2), timing=1)

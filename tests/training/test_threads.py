"""One thread for small steps; the number of operations against a count by hand."""

from __future__ import annotations

import pytest
import torch

from convforge.networks.catalog import create
from convforge.training.threads import ONE_THREAD_FLOPS, step_flops, suitable_threads

# MACs of lenet5_relu on 32x32, by hand: C1, C3, then the linear layers
LENET5_RELU_MACS = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 6 * 25 + 400 * 120 + 120 * 84 + 84 * 10


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_the_operations_of_a_step_are_six_times_the_macs_of_its_images():
    assert step_flops(create("lenet5_relu"), batch_size=64) == 6 * 64 * LENET5_RELU_MACS


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("share", "threads"), [(0.99, 1), (1.01, 2)])
def test_a_step_below_the_limit_has_one_thread_and_a_larger_one_all(share, threads):
    batch_size = round(share * ONE_THREAD_FLOPS / (6 * LENET5_RELU_MACS))
    with suitable_threads(create("lenet5_relu"), batch_size=batch_size):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_the_number_of_threads_is_put_back_after_an_exception():
    with pytest.raises(ZeroDivisionError), suitable_threads(create("lenet5_relu"), batch_size=1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2

"""A way of computing as a record, and kernels of a GPU."""

from __future__ import annotations

import torch

from convforge.training.machine import Machine, fast_kernels


def test_a_record_leaves_out_which_of_several_devices_it_was():
    second = Machine(device="cuda:1", precision="bf16", channels_last=True)
    fields = second.to_json()
    assert fields["device"] == "cuda"
    assert Machine.from_json(fields, device="cuda:1") == second
    assert second.is_gpu
    assert not Machine().is_gpu


def test_kernels_of_a_gpu_are_as_before_afterwards():
    before = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    with fast_kernels("cuda"):
        assert torch.backends.cudnn.benchmark
        assert torch.get_float32_matmul_precision() == "high"
    assert (torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()) == before
    with fast_kernels("cpu"):
        assert (torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()) == before

"""A team of processes that train one network together, as `torchrun` starts them.

Every process draws the same order of images and takes every size-th row of each batch, so that no
image is seen by two and none is padded in. Each loss is divided by the images of the whole batch
and gradients are summed over the team: they are those of one process on the same batch, whatever
the size of the team. They are summed in one piece and in one order after the backward pass, which
keeps a run that is taken up again the same to the bit; torch's DistributedDataParallel cuts them
into pieces by the order in which the first step needs them. The first process alone writes.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import nn

    A = TypeVar("A", NDArray[np.float32], NDArray[np.float64])
    T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """The place of a process: `rank` from 0 of `size` processes."""

    rank: int = 0
    size: int = 1

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The part of this process of some rows; the parts of all have each row once."""
        return rows[self.rank :: self.size]

    def sum(self, values: A) -> A:
        """The sum of an array over the team, the same in every process."""
        if self.size == 1:
            return values
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        total = torch.tensor(values, device=device)
        distributed.all_reduce(total)
        return total.cpu().numpy()

    @torch.no_grad()
    def sum_gradients(self, net: nn.Module) -> None:
        """Sum the gradients of all parameters over the team, in place."""
        if self.size == 1:
            return
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        total = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(total)
        pieces = torch.split(total, [gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view(gradient.shape))

    def agree(self, value: T) -> T:
        """The first process's value of what each has measured for itself, in every process."""
        if self.size == 1:
            return value
        agreed = [value]
        distributed.broadcast_object_list(agreed, src=0)
        return agreed[0]

    def alike(self, value: object) -> bool:
        """Whether every process has the same value; the answer is the same in all of them."""
        same = value == self.agree(value)
        return bool(self.sum(np.array([float(same)]))[0] == self.size)

    def share_buffers(self, net: nn.Module) -> None:
        """Give every process the first one's statistics of batch normalisation."""
        if self.size > 1:
            for buffer in net.buffers():
                distributed.broadcast(buffer, src=0)


ALONE = Team()


@contextlib.contextmanager
def join(device: str = "cpu") -> Iterator[Team]:
    """The team that `torchrun` started this process in, by its environment; else ALONE.

    `device` is what this process computes on: a GPU of its own, or the processor.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if distributed.is_initialized():
        yield Team(distributed.get_rank(), distributed.get_world_size())
        return
    if size == 1:
        yield ALONE
        return
    if device == "cpu":
        distributed.init_process_group("gloo")
    else:
        torch.cuda.set_device(device)
        distributed.init_process_group("nccl")
    try:
        yield Team(distributed.get_rank(), size)
        distributed.barrier()  # the first holds the store that the others still talk to
    finally:
        distributed.destroy_process_group()

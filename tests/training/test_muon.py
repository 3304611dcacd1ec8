"""Muon: orthogonal directions, and the update against its formula."""

from __future__ import annotations

import pytest
import torch

from convforge.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(16, 16), (8, 72), (72, 8), (1, 9), (5, 1)])
def test_singular_values_come_near_1_and_singular_vectors_stay(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    found = torch.linalg.multi_dot([u.T, orthogonal(matrix), vh.T])
    off = found - torch.diag(found.diagonal())
    assert off.abs().max() < 1e-9
    strong = s > 0.05 * s.max()
    assert found.diagonal()[strong].min() > 0.6
    assert found.diagonal().max() < 1.3


def test_a_matrix_of_zeros_stays():
    assert torch.equal(orthogonal(torch.zeros(4, 6)), torch.zeros(4, 6))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_two_steps_are_those_of_the_formula(layout):
    torch.manual_seed(0)
    start = torch.randn(6, 4, 3, 3)
    gradients = [torch.randn(6, 4, 3, 3) for _ in range(2)]
    weight = torch.nn.Parameter(start.clone(memory_format=layout))
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.01)
    w, v = start, torch.zeros_like(start)
    for gradient in gradients:
        weight.grad = gradient.clone(memory_format=layout)
        optimizer.step()
        v = 0.9 * v + gradient
        direction = orthogonal((gradient + 0.9 * v).reshape(6, -1)).reshape(w.shape)
        w = (1 - 0.1 * 0.01) * w - 0.1 * direction  # 6 rows of 36: no more rows than columns
    torch.testing.assert_close(weight.detach(), w)


def test_a_tall_matrix_moves_further_by_the_root_of_rows_over_columns():
    weight = torch.nn.Parameter(torch.zeros(8, 2))
    weight.grad = torch.ones(8, 2)
    Muon([weight], lr=0.5, momentum=0.0).step()
    torch.testing.assert_close(weight.detach(), -0.5 * 2 * orthogonal(torch.ones(8, 2)))


def test_a_weight_without_a_gradient_stays():
    weight = torch.nn.Parameter(torch.ones(2, 2))
    Muon([weight], lr=0.5).step()
    assert torch.equal(weight.detach(), torch.ones(2, 2))


@pytest.mark.parametrize("shape", [(16, 40), (40, 16)])
def test_under_autocast_it_is_the_same_to_the_precision_of_its_type(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    exact = orthogonal(matrix)
    with torch.autocast("cpu", torch.bfloat16):
        found = orthogonal(matrix)
    assert found.dtype == torch.float32
    error = (found - exact).norm() / exact.norm()
    assert 1e-4 < error < 0.02

"""The learning rate's shapes: against torch's schedulers and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from convforge.training.schedule import SCHEDULES, factor

TIMES = (np.arange(200) + 0.5) / 200


def shape(name, *, warmup):
    return np.array([factor(name, done, warmup=warmup) for done in TIMES])


@pytest.mark.parametrize("warmup", [0.0, 0.2, 0.5, 1.0])
def test_linear_is_a_triangle_with_its_peak_after_the_warmup(warmup):
    expected = np.interp(TIMES, [0, warmup, 1], [0, 1, 0])
    if warmup == 0:
        expected = 1 - TIMES
    if warmup == 1:
        expected = TIMES
    np.testing.assert_allclose(shape("linear", warmup=warmup), expected, rtol=1e-12)


def test_cosine_is_torchs_cosine_annealing():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)
    rates = []
    for _ in range(100):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    ours = [factor("cosine", step / 100, warmup=0.0) for step in range(100)]
    np.testing.assert_allclose(ours, rates, atol=1e-12)


def test_onecycle_is_torchs():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    # torch's cycle peaks at step 0.3 · total - 1 and ends at step total - 1
    scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=101, pct_start=0.31)
    peak = 0.31 * 101 - 1
    rates = []
    for _ in range(101):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    ours = [factor("onecycle", step / 100, warmup=peak / 100) for step in range(101)]
    np.testing.assert_allclose(ours, rates, rtol=1e-9, atol=1e-9)


def test_step_divides_by_ten_at_half_and_at_three_quarters():
    rates = shape("step", warmup=0.0)
    assert set(rates[:100]) == {1.0}
    assert set(rates[100:150]) == {0.1}
    assert set(rates[150:]) == {0.01}


def test_exponential_falls_by_the_same_factor_every_step_to_a_hundredth():
    rates = shape("exponential", warmup=0.0)
    ratios = rates[1:] / rates[:-1]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)
    assert factor("exponential", 1.0, warmup=0.0) == pytest.approx(0.01)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.9, 1.0])
def test_every_rate_is_above_0_and_at_most_the_peak_and_rises_until_the_warmup(name, warmup):
    rates = shape(name, warmup=warmup)
    assert (rates > 0).all()
    assert (rates <= 1).all()
    assert (np.diff(rates[warmup > TIMES]) > 0).all()
    assert math.isfinite(factor(name, 1.0, warmup=warmup))

from __future__ import annotations

import numpy as np
import pytest

from convforge.images.mixing import ERASED, cutmix, erase, mixup


def batch_of(count=6, side=8):
    """Image n is n + 1 everywhere; its target is class n."""
    x = np.broadcast_to(np.arange(1.0, count + 1)[:, None, None, None], (count, 3, side, side))
    return x.astype(np.float32), np.eye(count, dtype=np.float32)


def test_mixup_mixes_images_and_targets_by_the_same_share():
    x, targets = batch_of()
    mixed, mixed_targets = mixup(x, targets, alpha=1.0, generator=np.random.default_rng(0))
    np.testing.assert_allclose(mixed_targets.sum(axis=1), 1, rtol=1e-6)
    expected = mixed_targets @ np.arange(1.0, 7)
    np.testing.assert_allclose(mixed[:, 1, 2, 3], expected, rtol=1e-5)
    assert (mixed_targets.max(axis=1) < 1).any()


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_counts_the_pixels_that_it_took(seed):
    x, targets = batch_of()
    mixed, mixed_targets = cutmix(x, targets, alpha=1.0, generator=np.random.default_rng(seed))
    np.testing.assert_allclose(mixed_targets.sum(axis=1), 1, rtol=1e-6)
    for n in range(len(x)):
        values, counts = np.unique(mixed[n], return_counts=True)
        for value, count in zip(values, counts, strict=True):
            share = mixed_targets[n, int(value) - 1]
            assert share == pytest.approx(count / mixed[n].size, abs=1e-6)


def test_erasing_takes_its_share_of_the_images_and_of_their_area():
    x = np.ones((4000, 1, 32, 32), np.float32)
    erased = erase(x, chance=0.25, generator=np.random.default_rng(0))
    shares = (erased == 0).mean(axis=(1, 2, 3))
    assert abs((shares > 0).sum() - 1000) < 110  # standard deviation 27
    assert shares[shares > 0].min() > ERASED[0] / 2
    assert shares.max() < ERASED[1] * 1.1
    assert abs(shares[shares > 0].mean() - np.mean(ERASED)) < 0.02


def test_an_erased_rectangle_is_one_and_goes_through_all_channels():
    erased = erase(
        np.ones((20, 3, 16, 16), np.float32), chance=1.0, generator=np.random.default_rng(3)
    )
    for image in erased:
        rows, columns = (image[0] == 0).nonzero()
        box = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert not box.any()
        assert (image == 0).sum() == box.size


@pytest.mark.parametrize("way", [mixup, cutmix])
def test_torch_tensors_give_what_numpy_arrays_give(way):
    import torch

    x = np.random.default_rng(0).normal(size=(5, 3, 9, 7)).astype(np.float32)
    targets = np.eye(5, dtype=np.float32)
    expected = way(x, targets, alpha=0.4, generator=np.random.default_rng(7))
    given = torch.from_numpy(x.copy()), torch.from_numpy(targets.copy())
    found = way(*given, alpha=0.4, generator=np.random.default_rng(7))
    for a, b in zip(expected, found, strict=True):
        assert isinstance(b, torch.Tensor)
        np.testing.assert_allclose(b.numpy(), a, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(given[0].numpy(), x)  # what went in stays


def test_erasing_a_torch_tensor_leaves_what_went_in():
    import torch

    x = torch.ones(4, 3, 8, 8)
    erased = erase(x, chance=1.0, generator=np.random.default_rng(0))
    assert bool((erased == 0).any())
    assert bool((x == 1).all())

"""Logits of decoded images: those of the network, batch by batch; bad images count as wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from convforge.images.dataset import Split
from convforge.images.decoding import Bad, Decoded
from convforge.images.preprocess import Preprocess
from convforge.networks.catalog import create
from convforge.training import measuring
from convforge.training.distributed import Team
from convforge.training.measuring import Validated, logits_of, right_answers, validated

PREPROCESS = Preprocess(resize=(32, 32), crop=(32, 32), mean=(120.0,), std=(60.0,))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return create("lenet5_relu").train()


@pytest.fixture
def decoded():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10, 32, 32, 1), np.uint8)
    part = Split(
        name="val",
        names=tuple(map(str, range(10))),
        labels=np.arange(10),
        read=pixels.__getitem__,
    )
    return Decoded(part=part, pixels=pixels, bad=())


def test_they_are_the_networks_in_batches_and_its_mode_stays(net, decoded, monkeypatch):
    monkeypatch.setattr(measuring, "BATCH", 3)
    found = logits_of(net, decoded, preprocess=PREPROCESS)
    assert net.training
    with torch.no_grad():
        expected = net.eval()(torch.from_numpy(PREPROCESS.normalize(decoded.pixels))).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_rows_of_a_team_add_up_to_the_whole(net, decoded, monkeypatch):
    whole = logits_of(net, decoded, preprocess=PREPROCESS)
    monkeypatch.setattr(Team, "sum", lambda _, table: table)
    shares = [
        logits_of(net, decoded, preprocess=PREPROCESS, team=Team(rank, 3)) for rank in range(3)
    ]
    np.testing.assert_allclose(sum(shares), whole, rtol=1e-4, atol=1e-5)
    assert [int((share != 0).any(1).sum()) for share in shares] == [4, 3, 3]


def test_a_bad_image_is_a_wrong_answer(net, decoded):
    right = int((logits_of(net, decoded, preprocess=PREPROCESS).argmax(1) == np.arange(10)).sum())
    bad = Decoded(part=decoded.part, pixels=decoded.pixels, bad=(Bad("x", 0, "cut"),) * 10)
    found = right_answers(net, bad, preprocess=PREPROCESS)
    assert right_answers(net, decoded, preprocess=PREPROCESS).sum() == right
    assert (len(found), found.sum(), found[10:].any()) == (20, right, False)


def test_one_pass_gives_top1_of_all_and_the_loss_of_those_that_could_be_decoded(net, decoded):
    passes = []
    net.register_forward_hook(lambda *_: passes.append(1))
    bad = Decoded(part=decoded.part, pixels=decoded.pixels, bad=(Bad("x", 0, "cut"),) * 10)
    found = validated(net, bad, preprocess=PREPROCESS)
    assert len(passes) == 1
    logits = torch.from_numpy(logits_of(net, decoded, preprocess=PREPROCESS))
    expected = F.cross_entropy(logits.double(), torch.arange(10)).item()
    assert found.loss == pytest.approx(expected, rel=1e-12)
    assert found.loss == validated(net, decoded, preprocess=PREPROCESS).loss
    assert found.top1 == right_answers(net, bad, preprocess=PREPROCESS).mean()


def test_without_an_image_or_a_finite_logit_no_loss_is_known(net, decoded):
    none = Split(name="val", names=(), labels=np.empty(0, np.int64), read=decoded.part.read)
    bad = Decoded(part=none, pixels=decoded.pixels[:0], bad=(Bad("x", 0, "cut"),))
    assert validated(net, bad, preprocess=PREPROCESS) == Validated(top1=0.0)
    torch.nn.init.constant_(net.head[-1].bias[3:4], torch.inf)
    found = validated(net, decoded, preprocess=PREPROCESS)
    assert found == Validated(top1=0.1)

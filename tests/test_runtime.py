from __future__ import annotations

import ctypes
import gc
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from convforge.compiler.backend.target import native
from convforge.errors import ArtifactError, DataError, InputError
from convforge.images.preprocess import MAX_SIDE
from convforge.runtime import Runtime
from convforge.seal import seal


@pytest.fixture
def runtime(artifact_file):
    return Runtime(artifact_file)


@pytest.fixture
def pixels():
    """uint8 RGB of a size, seeded."""
    generator = np.random.default_rng(0)
    return lambda height, width: generator.integers(0, 256, (height, width, 3), np.uint8)


def levels_of(runtime):
    """Levels that this CPU has: the best, and those after it."""
    names = [level.name for level in native().levels]
    return names[names.index(runtime.level) :]


# ---------------------------------------------------------------- the same as the classifier


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 500), (500, 1), (8, 8), (9, 7), (32, 32), (131, 64)]
)
def test_probabilities_are_the_classifiers_at_odd_sizes(trained, runtime, pixels, height, width):
    image = pixels(height, width)
    found = runtime.probabilities([image])
    np.testing.assert_allclose(found, trained.probabilities([image]), rtol=0, atol=1e-5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(), 1, atol=1e-6)


def test_every_kind_of_image_is_predicted_as_by_the_classifier(trained, runtime, pixels, tmp_path):
    rgb = pixels(20, 30)
    grey = rgb[:, :, 0]
    Image.fromarray(rgb).save(tmp_path / "image.png")
    kinds = [rgb, grey, grey[..., None], np.dstack([rgb, grey]), Image.fromarray(grey)]
    for image in [*kinds, tmp_path / "image.png", str(tmp_path / "image.png")]:
        expected, found = trained.predict(image, top=10), runtime.predict(image, top=10)
        assert [p.label for p in found[:1]] == [p.label for p in expected[:1]]
        for prediction in found:
            (peer,) = (p for p in expected if p.index == prediction.index)
            assert prediction.label == peer.label
            assert abs(prediction.probability - peer.probability) <= 1e-5


def test_images_of_several_sizes_are_predicted_together(runtime, pixels):
    images = [pixels(8, 8), pixels(30, 10), pixels(1, 3)]
    together = runtime.probabilities(images)
    alone = np.concatenate([runtime.probabilities([image]) for image in images])
    np.testing.assert_array_equal(together, alone)


def test_an_image_that_is_not_contiguous_is_predicted_as_what_it_shows(runtime, pixels):
    image = pixels(20, 30)[::2, ::-1]
    copied = np.ascontiguousarray(image)
    np.testing.assert_array_equal(runtime.probabilities([image]), runtime.probabilities([copied]))


def test_logits_are_the_classifiers(trained, runtime):
    x = np.random.default_rng(0).standard_normal((5, 1, 32, 32), np.float32)
    expected = trained.logits(x)
    error = np.abs(runtime.logits(x) - expected).max()
    assert error <= 1e-5 * np.abs(expected).max()
    backwards = runtime.logits(x[::-1])
    np.testing.assert_array_equal(backwards, runtime.logits(x)[::-1])


def test_no_images_give_no_rows(runtime):
    assert runtime.probabilities([]).shape == (0, 10)
    assert runtime.logits(np.empty((0, 1, 32, 32), np.float32)).shape == (0, 10)


def test_it_says_what_the_classifier_says(trained, runtime):
    assert runtime.card == trained.card
    assert runtime.classes == trained.classes
    assert runtime.preprocess == trained.preprocess
    assert runtime.context_bytes > 4 * 32 * 32


# ----------------------------------------------------------------------------------- levels


def test_every_level_that_the_cpu_has_predicts_alike(artifact_file, runtime, pixels):
    images = [pixels(17, 23)]
    for level in levels_of(runtime):
        chosen = Runtime(artifact_file, level=level)
        assert chosen.level == level
        expected = runtime.probabilities(images)
        np.testing.assert_allclose(chosen.probabilities(images), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", ["avx9000", "", "Baseline"])
def test_an_unknown_level_is_refused_by_name(artifact_file, level):
    words = rf"digits\.so: cannot run at level '{level}', which this CPU or this artifact lacks"
    with pytest.raises(ArtifactError, match=words):
        Runtime(artifact_file, level=level)


@pytest.mark.parametrize("threads", [-1, 0, 65, 1000, 2**32 + 1])
def test_a_number_of_threads_out_of_range_is_refused(artifact_file, threads):
    with pytest.raises(ArtifactError, match=f"cannot run with {threads} threads"):
        Runtime(artifact_file, threads=threads)


def test_workers_compute_several_images_at_a_time_and_the_same(artifact_file, runtime):
    many = Runtime(artifact_file, workers=3)
    assert (many.threads, Runtime(artifact_file, workers=2, threads=2).threads) == (1, 2)
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (20 + i, 30, 3), np.uint8) for i in range(7)]
    np.testing.assert_array_equal(many.probabilities(images), runtime.probabilities(images))
    x = draw.standard_normal((5, *runtime.input_shape[1:]), np.float32)
    np.testing.assert_array_equal(many.logits(x), runtime.logits(x))
    with pytest.raises(DataError, match="expected RGB pixels"):
        many.probabilities([*images, images[0][0]])


def test_less_than_one_worker_is_refused(artifact_file):
    with pytest.raises(InputError, match="workers is 0; expected 1 or more"):
        Runtime(artifact_file, workers=0)


def test_any_number_of_threads_computes_the_same(artifact_file, runtime):
    x = np.random.default_rng(0).standard_normal((2, 1, 32, 32), np.float32)
    assert runtime.threads == 1
    for threads in (1, 2, 3):
        chosen = Runtime(artifact_file, threads=threads)
        assert chosen.threads == threads
        np.testing.assert_array_equal(chosen.logits(x), runtime.logits(x))


# ---------------------------------------------------------------------------- the network alone


def test_running_gives_what_logits_gives_one_by_one(runtime):
    x = np.random.default_rng(0).standard_normal((1, 1, 32, 32), np.float32)
    assert (runtime.input_shape, runtime.output_shape) == ((1, 1, 32, 32), (1, 10))
    np.testing.assert_array_equal(runtime.run(x), runtime.logits(x))
    np.testing.assert_array_equal(runtime.run(x[..., ::-1]), runtime.run(x[..., ::-1].copy()))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((2, 1, 32, 32), np.float32),
        ((1, 1, 32, 31), np.float32),
        ((1, 32, 32), np.float32),
        ((1, 1, 32, 32), np.float64),
        ((1, 1, 32, 32), np.int32),
    ],
)
def test_an_input_of_another_size_or_type_is_refused(runtime, shape, dtype):
    words = r"run: expected float32 \[1, 1, 32, 32\], got .*; compile the model for the shape"
    for method in (runtime.run, runtime.profile):
        with pytest.raises(InputError, match=words):
            method(np.zeros(shape, dtype))


def test_layers_are_named_and_timed(trained, runtime):
    names = [layer.name for layer in runtime.layers]
    macs = {layer.name: layer.macs for layer in runtime.layers if layer.macs}
    assert macs == {
        "features.conv1": 6 * 28 * 28 * 25,
        "features.conv2": 16 * 10 * 10 * 6 * 25,
        "head.linear1": 400 * 120,
        "head.linear2": 120 * 84,
        "head.linear3": 84 * 10,
    }
    assert all(layer.kernel for layer in runtime.layers)
    times = runtime.profile(np.zeros(runtime.input_shape, np.float32))
    assert len(times) == len(names) == len(set(names))
    assert min(times) >= 0
    assert sum(times) > 0


def test_an_artifact_passes_its_own_test_at_every_level(artifact_file, runtime):
    for level in levels_of(runtime):
        for threads in (1, 2):
            Runtime(artifact_file, level=level, threads=threads).selftest()


def test_a_damaged_weight_fails_the_self_test(artifact_file, runtime, trained, tmp_path):
    # Sealed again, so that nothing but the test can notice.
    content = artifact_file.read_bytes()[:-32]
    bias = trained.net.head[-1].bias.detach().numpy()
    assert content.count(bias.tobytes()) == 1
    damaged = content.replace(bias.tobytes(), bias[::-1].tobytes())
    (tmp_path / "net.so").write_bytes(seal(damaged))
    with pytest.raises(ArtifactError, match=r"net\.so: fails its self-test at level"):
        Runtime(tmp_path / "net.so").selftest()
    runtime.selftest()


# --------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 0, 3), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
    ],
    ids=lambda image: f"{image.dtype} {image.shape}",
)
def test_probabilities_take_rgb_pixels_and_say_what_they_got(runtime, image):
    with pytest.raises(DataError, match=rf"{image.dtype} \[.*expected RGB pixels, uint8 \[H, W, 3"):
        runtime.probabilities([image])


def test_an_image_with_a_side_over_the_limit_is_refused(runtime):
    with pytest.raises(DataError, match=f"expected at most {MAX_SIDE} a side"):
        runtime.probabilities([np.zeros((1, MAX_SIDE + 1, 3), np.uint8)])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 32, 32), np.float32),
        ((1, 3, 32, 32), np.float32),
        ((1, 1, 31, 32), np.float32),
        ((1, 1, 32, 32), np.float64),
        ((1, 1, 32, 32), np.uint8),
        ((32, 32), np.float32),
    ],
)
def test_logits_take_preprocessed_images_and_say_what_they_got(runtime, shape, dtype):
    with pytest.raises(InputError, match=r"expected float32 \[N, 1, 32, 32\], got .*\[.*32\]"):
        runtime.logits(np.zeros(shape, dtype))


def test_an_artifact_of_another_machine_is_refused(tmp_path):
    header = bytearray(b"\x7fELF" + bytes(60))
    (tmp_path / "arm.so").write_bytes(seal(bytes(header)))
    with pytest.raises(ArtifactError, match=r"arm\.so: built for another machine .*compile it on"):
        Runtime(tmp_path / "arm.so")


def test_a_library_under_a_seal_that_is_no_artifact_is_refused(tmp_path):
    (tmp_path / "empty.c").write_text("int nothing;\n")
    command = ["cc", "-shared", "-fPIC", "empty.c", "-o", "empty.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "net.so").write_bytes(seal((tmp_path / "empty.so").read_bytes()))
    with pytest.raises(ArtifactError, match=r"net\.so: lacks .*undefined symbol: cf_"):
        Runtime(tmp_path / "net.so")


# ---------------------------------------------------------------------------------- threads


def test_eight_threads_predict_what_one_does(runtime, pixels):
    images = [pixels(5 + i, 60 - i) for i in range(50)]
    expected = runtime.probabilities(images)
    start = threading.Barrier(8)

    def work(_number):
        start.wait()
        return np.concatenate([runtime.probabilities([image]) for image in images])

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(work, range(8)):
            np.testing.assert_array_equal(found, expected)


@pytest.fixture
def contexts(artifact_file, monkeypatch):
    """Pointers of the contexts that are made and destroyed from here on."""
    made, destroyed = [], []
    original = ctypes.CDLL

    class Watched:
        def __init__(self, path):
            self._library = original(path)
            self.cf_create_with = Made(self._library.cf_create_with)
            self.cf_destroy = Destroyed(self._library.cf_destroy)

        def __getattr__(self, name):
            return getattr(self._library, name)

    class Forwarding:
        def __init__(self, function):
            object.__setattr__(self, "_function", function)

        def __setattr__(self, name, value):  # restype, argtypes
            setattr(self._function, name, value)

    class Made(Forwarding):
        def __call__(self, level, threads):
            made.append(self._function(level, threads))
            return made[-1]

    class Destroyed(Forwarding):
        def __call__(self, pointer):
            destroyed.append(pointer)
            self._function(pointer)

    monkeypatch.setattr(ctypes, "CDLL", Watched)
    return made, destroyed


def test_a_context_lives_as_long_as_its_thread(artifact_file, contexts, pixels):
    made, destroyed = contexts
    runtime = Runtime(artifact_file)
    assert len(made) == 1
    for count in (2, 3):
        thread = threading.Thread(target=predict_twice, args=(runtime, pixels(8, 8)))
        thread.start()
        thread.join()
        gc.collect()
        assert (len(made), destroyed) == (count, made[1:])
    predict_twice(runtime, pixels(8, 8))
    assert len(made) == 3
    del runtime
    gc.collect()
    assert sorted(destroyed) == sorted(made)


def predict_twice(runtime, image):
    for _ in range(2):
        runtime.probabilities([image])


def test_predicting_allocates_no_context(artifact_file, contexts, pixels):
    made, _ = contexts
    runtime = Runtime(artifact_file)
    runtime.selftest()
    for _ in range(20):
        runtime.probabilities([pixels(9, 9)])
        runtime.logits(np.zeros((1, 1, 32, 32), np.float32))
    assert len(made) == 1


def test_two_runtimes_do_not_disturb_each_other(artifact_file, tmp_path, pixels):
    copy = tmp_path / "copy.so"
    copy.write_bytes(artifact_file.read_bytes())
    images = [pixels(8, 8), pixels(20, 9)]
    first, second = Runtime(artifact_file), Runtime(copy)
    expected = first.probabilities(images)
    np.testing.assert_array_equal(second.probabilities(images), expected)
    del second
    gc.collect()
    np.testing.assert_array_equal(first.probabilities(images), expected)


# ---------------------------------------------------------------- where the evidence lies


def test_grad_cam_is_of_the_maps_before_the_head(runtime, pixels):
    x = runtime.input_of(pixels(32, 32))
    assert runtime.grad_cam_shape == (5, 5)
    heat = runtime.grad_cam(x, 3)
    assert (heat.shape, heat.dtype) == ((5, 5), np.float32)
    np.testing.assert_array_equal(runtime.grad_cam(x, 3), heat)


def test_grad_cam_of_what_is_not_there_is_refused(runtime):
    x = np.zeros(runtime.input_shape, np.float32)
    for index in (-1, 10, 2**32, 2**32 + 3, -(2**32)):
        with pytest.raises(InputError, match=rf"digits\.so: has no logit {index}; they are 0 to 9"):
            runtime.grad_cam(x, index)
    with pytest.raises(InputError, match="run: expected float32"):
        runtime.grad_cam(x[0], 0)
    runtime.grad_cam_shape = ()  # as of a network without a head
    with pytest.raises(InputError, match=r"digits\.so: has no Grad-CAM, for its layers do not end"):
        runtime.grad_cam(x, 0)

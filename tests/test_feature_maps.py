"""The maps inside an artifact, held against those of the network that it was compiled from."""

import numpy as np
import pytest
import torch

from convforge.errors import DataError, InputError
from convforge.runtime import Runtime


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def maps_in_torch(net, x):
    """What every module of a network gives for an input, by its name."""
    found = {}

    def keep(name):
        def hook(_module, _inputs, result):
            found[name] = result.numpy().copy()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in net.named_modules()]
    with torch.no_grad():
        net.eval()(torch.from_numpy(x))
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("threads", [1, 2])
def test_every_map_is_one_of_the_network_in_torch(trained, artifact_file, image, threads):
    runtime = Runtime(artifact_file, threads=threads)
    x = runtime.input_of(image)
    expected = maps_in_torch(trained.net, x)
    alike = []
    for layer in runtime.layers:
        found = runtime.feature_maps(x, layer.name)
        assert found.shape == layer.gives
        alike.append(
            {
                name
                for name, maps in expected.items()
                if maps.size == found.size
                and np.abs(maps.reshape(found.shape) - found).max() <= 1e-4
            }
        )
    assert all(alike)
    assert len({name for names in alike for name in names}) > len(alike)
    np.testing.assert_array_equal(found, runtime.logits(x))


def test_the_networks_input_is_the_preprocessed_image(trained, artifact_file, image):
    runtime = Runtime(artifact_file)
    expected = runtime.preprocess(image)
    np.testing.assert_allclose(runtime.input_of(image)[0], expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(runtime.input_of(image[::-1]), runtime.input_of(image[::-1] + 0))
    with pytest.raises(DataError, match="expected RGB pixels"):
        runtime.input_of(image[..., 0])


def test_a_layer_is_named_by_its_place_too(artifact_file, image):
    runtime = Runtime(artifact_file)
    x = runtime.input_of(image)
    for place, layer in enumerate(runtime.layers):
        np.testing.assert_array_equal(
            runtime.feature_maps(x, place), runtime.feature_maps(x, layer.name)
        )


def test_a_layer_that_is_not_there_is_refused_by_name(artifact_file):
    runtime = Runtime(artifact_file)
    x = np.zeros(runtime.input_shape, np.float32)
    for layer in ("conv9", -1, len(runtime.layers)):
        with pytest.raises(InputError, match=f"has no layer {layer!r}; it has .*: features"):
            runtime.feature_maps(x, layer)
    with pytest.raises(InputError, match=r"expected float32 \[1, 1, 32, 32\]"):
        runtime.feature_maps(x[0], 0)

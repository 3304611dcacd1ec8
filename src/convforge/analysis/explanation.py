"""Why a model answers what it answers: where on a picture the evidence for a class lies.

    grad-cam               Selvaraju et al. 2017; on the maps that `features` gives, of a classifier
                           and of a compiled artifact
    integrated-gradients   Sundararajan et al. 2017; of a classifier, pixel by pixel
    occlusion              Zeiler and Fergus 2014; of a classifier and of a compiled artifact

`filters` and `features` show what a network has learned and computes (`analysis.maps`). Nothing
here imports torch before a classifier is there.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from convforge.analysis import occlusion
from convforge.errors import InputError
from convforge.images.picture import decode
from convforge.prediction import Prediction, top_predictions
from convforge.runtime import Runtime

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray
    from PIL import Image

    from convforge.analysis.gradients import Completeness
    from convforge.analysis.occlusion import Progress
    from convforge.classifier import Classifier

Method: TypeAlias = Literal["grad-cam", "integrated-gradients", "occlusion"]
METHODS: tuple[Method, ...] = ("grad-cam", "integrated-gradients", "occlusion")

NO_PATCH_MATTERS = 0.01  # of probability: what a covered patch has to cost to be spoken of
NO_PATCH = (
    f"no single patch matters: covering any of them leaves the probability within "
    f"{NO_PATCH_MATTERS:.0%}"
)
ONE_PLACE = (
    "the network's maps have one place alone, so that all of the picture is equally warm; "
    "occlusion and integrated-gradients tell places apart"
)
MOST_CELLS_IN_JSON = 1024
COARSE = 32  # places along a side that `warmest` tells apart


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Where the evidence for one class lies.

    `target` is the class that is explained, with its probability; `best` the most probable one.
    `image` is the picture, uint8 [H, W, 3]; `seen` what the network gets of it, resized and
    cropped, uint8 [h, w, channels]. `values` float32 [rows, columns] divides `seen` evenly:

        grad-cam               Σ_k a_k A_k before the ReLU, in units of its own
        integrated-gradients   attributions of a pixel, summed over channels; in units of the logit
        occlusion              probability lost where a cell is covered, 0…1

    `completeness` is that of integrated gradients, None for the others.
    """

    method: Method
    target: Prediction
    best: Prediction
    image: NDArray[np.uint8]
    seen: NDArray[np.uint8]
    values: NDArray[np.float32]
    completeness: Completeness | None = None

    @property
    def heat(self) -> NDArray[np.float32]:
        """What speaks for the class: `values` where they are above 0, 0 elsewhere."""
        return np.maximum(self.values, 0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be known before the map is believed, in sentences; mostly nothing."""
        if self.values.size == 1:
            return (ONE_PLACE,)
        if self.heat.max() <= 0:
            return (f"nothing on the picture speaks for {self.target.label!r} by {self.method}",)
        if self.method == "occlusion" and self.heat.max() < NO_PATCH_MATTERS:
            return (NO_PATCH,)
        return ()

    @property
    def warmest(self) -> tuple[float, float]:
        """(x, y) of the warmest place's middle, as shares of the part that is seen.

        A place is a cell, or one of at most COARSE x COARSE blocks of cells: a pixel says little.
        """
        coarse = _coarse(_coarse(self.heat).T).T
        row, column = np.unravel_index(int(coarse.argmax()), coarse.shape)
        rows, columns = coarse.shape
        return (int(column) + 0.5) / columns, (int(row) + 0.5) / rows

    def save(self, path: str | PathLike[str], *, title: str = "", remark: str = "") -> None:
        """Draw it: what the network saw, and the heat over it; PNG, SVG or PDF by the name.

        `title`, a file's name say, and `remark` stand below, with the notes. Raises OutputError
        where it cannot be written, PackageError where matplotlib is missing.
        """
        from convforge.analysis.overlay import save_explanation  # noqa: PLC0415  (draws)

        save_explanation(self, Path(path), lines=(title, *self.notes, remark))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `heat` is None where it has over MOST_CELLS_IN_JSON cells."""
        few = self.heat.size <= MOST_CELLS_IN_JSON
        complete = self.completeness
        return {
            "method": self.method,
            "target": asdict(self.target),
            "best": asdict(self.best),
            "cells": list(self.values.shape),
            "warmest": dict(zip("xy", self.warmest, strict=True)),
            "largest": float(self.heat.max()),
            "heat": [[float(v) for v in row] for row in self.heat.tolist()] if few else None,
            "completeness": None if complete is None else complete.to_json(),
            "notes": list(self.notes),
        }


def explain(
    model: Classifier | Runtime,
    image: str | Path | Image.Image | NDArray[np.uint8],
    *,
    method: Method | None = None,
    target: str | int | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Where on one image the evidence for a class lies.

    `method` is one of METHODS: by default grad-cam, and occlusion for a compiled artifact without
    Grad-CAM or whose maps have one place alone. `target` is the class, by its name or its place
    among the classes; the most probable one where it is left out. `progress` is called with (done,
    of how many, what is being done).

    Raises InputError for an unknown method or class, for a method that an artifact does not have,
    and where integrated gradients do not add up; DataError where the image cannot be used;
    PackageError where a package is missing.
    """
    chosen = choose_method(model, method)
    pixels = decode(image)
    probabilities = model.probabilities([pixels])[0]
    best = top_predictions(probabilities, model.classes, top=1)[0]
    index = best.index if target is None else find_class(target, model.classes)
    if progress is not None:
        progress(0, 0, f"explaining by {chosen}")
    values, completeness = compute_values(
        model, pixels, method=chosen, index=index, progress=progress
    )
    return Explanation(
        method=chosen,
        target=Prediction(model.classes[index], index, float(probabilities[index])),
        best=best,
        image=pixels,
        seen=model.preprocess.pixels(pixels),
        values=values,
        completeness=completeness,
    )


def choose_method(model: object, method: str | None) -> Method:
    """The method, or the model's own where it is None.

    Raises InputError where the model is none, or has no such method.
    """
    if not isinstance(model, Runtime):
        needs_classifier(model, "nothing else can be explained")
    if method is None:
        # Of no shape too the product is 1.
        places = math.prod(model.grad_cam_shape) if isinstance(model, Runtime) else None
        return "occlusion" if places == 1 else "grad-cam"
    found = next((one for one in METHODS if one == method), None)
    if found is None:
        raise InputError(f"explain: no method {method!r}; there are {', '.join(METHODS)}")
    if found == "integrated-gradients":
        needs_classifier(model, f"{found} need gradients; grad-cam and occlusion do without")
    return found


def needs_classifier(model: object, why: str) -> None:
    """Raise InputError, saying `why`, where a model is a compiled artifact, or none at all."""
    if isinstance(model, Runtime):
        raise InputError(
            f"{model.path}: a compiled artifact, and a classifier is needed: {why}; take the "
            "classifier that it was compiled from"
        )
    if not all(hasattr(model, name) for name in ("net", "card", "preprocess")):
        raise InputError(
            f"explain: got a {type(model).__name__}; expected a Classifier or a Runtime: "
            "convforge.load(path) opens the file of either"
        )


def find_class(target: str | int, classes: tuple[str, ...]) -> int:
    """Place of a class among all, by its name or else by its number.

    Raises InputError, with close names, where there is none, and where several have the name.
    """
    if isinstance(target, str):
        places = [k for k, name in enumerate(classes) if name == target]
        if len(places) == 1:
            return places[0]
        if len(places) > 1:
            raise InputError(
                f"explain: {len(places)} classes are named {target!r}; give the class's number, "
                f"one of {', '.join(map(str, places))}"
            )
        if not target.isdecimal():
            raise InputError(f"explain: no class {target!r}; {_near(target, classes)}")
        target = int(target)
    if not 0 <= target < len(classes):
        raise InputError(
            f"explain: no class {target}; the {len(classes)} classes are numbered 0 to "
            f"{len(classes) - 1}"
        )
    return int(target)


def compute_values(
    model: Classifier | Runtime,
    image: NDArray[np.uint8],
    *,
    method: Method,
    index: int,
    steps: int | None = None,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float32], Completeness | None]:
    """`Explanation.values` and `completeness` of an RGB image, uint8 [H, W, 3].

    Integrated gradients take so many `steps`, or as many as they need where that is None.
    """
    if method == "occlusion":
        return occlusion.drops(model, image, index=index, progress=progress), None
    if isinstance(model, Runtime):
        return model.grad_cam(model.input_of(image), index), None
    from convforge.analysis import gradients  # noqa: PLC0415  (imports torch)

    x = model.preprocess(image)
    if method == "grad-cam":
        return gradients.weighted_maps(model.net, x, index=index), None
    black = model.preprocess(np.zeros_like(image))
    if steps is None:
        found, complete = gradients.integrated_gradients(model.net, x, baseline=black, index=index)
    else:
        found, complete = gradients.attributions(
            model.net, x, baseline=black, index=index, steps=steps
        )
    return found.sum(axis=0), complete


def _coarse(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over blocks of rows, so that at most COARSE are left."""
    rows = len(heat)
    if rows <= COARSE:
        return heat
    # As evenly as the rows divide; the mean of each, for they may differ by one in size.
    edges = np.arange(COARSE) * rows // COARSE
    sizes = np.diff(edges, append=rows)
    return (np.add.reduceat(heat, edges, axis=0) / sizes[:, None]).astype(np.float32)


def _near(target: str, classes: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  (rare)

    near = get_close_matches(target, classes, n=3, cutoff=0.5)
    near += [name for name in classes if target.lower() in name.lower() and name not in near][:3]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    shown = ", ".join(map(repr, classes[:5]))
    return f"there are {len(classes)}: {shown}{', …' if len(classes) > 5 else ''}"

"""The mistakes that a network is surest of, as pictures with what they are and what it said."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from convforge.prediction import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convforge.report.sections import Answers

SHOWN = 24
SIDE = 160  # pixels, at most, of a picture
SMALL = 64  # pictures up to this side are enlarged pixel by pixel

_QUALITY = 85  # of JPEG


def surest_mistakes(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], *, limit: int = SHOWN
) -> NDArray[np.int64]:
    """Rows of wrong answers, the most probable first, at most `limit`; of equals the first.

    `probabilities` float32 [N, K], `labels` int64 [N].
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    order = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
    return wrong[order[:limit]]


def mistakes_html(answers: Answers) -> str:
    """A section of a page. Raises DataError where an image has to be read again and is gone."""
    classes, part = answers.evaluation.classes, answers.name
    probabilities = softmax(answers.logits)
    rows = surest_mistakes(probabilities, answers.labels)
    if not len(rows):
        return f"<h2>Mistakes</h2><p>Every image of {part} is answered right.</p>"
    figures = []
    for row, pixels in zip(rows.tolist(), answers.pictures(rows), strict=True):
        answer = int(probabilities[row].argmax())
        small = ' class="small"' if max(pixels.shape[:2]) <= SMALL else ""
        name = escape(answers.names[row])
        figures.append(
            f'<figure><img{small} alt="{name}" src="{_data_uri(pixels)}"><figcaption>'
            f"<b>{escape(classes[int(answers.labels[row])])}</b>, taken for "
            f"<b>{escape(classes[answer])}</b>, {probabilities[row, answer]:.1%}"
            f'<div class="soft">{name}</div></figcaption></figure>'
        )
    wrong = int((probabilities.argmax(axis=1) != answers.labels).sum())
    return (
        f"<h2>Mistakes</h2><p>{wrong:,} of {len(probabilities):,} images of {part} are answered "
        f"wrong; those that the network is surest of come first.</p>"
        f'<div class="pictures">{"".join(figures)}</div>'
    )


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    """An image uint8 [h, w, 1 or 3] as a small JPEG within a page."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"

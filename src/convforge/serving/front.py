"""The page that the server shows: the one of the target html, with the server as its classifier."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from convforge.page_source import assemble

if TYPE_CHECKING:
    from convforge.serving.service import Service

ENTRY = "served.js"  # the module that starts the page
PROMISE = (
    "Your pictures are sent to the server that gave you this page, which keeps none of them, and "
    "to nobody else."
)


def front_page(service: Service) -> str:
    """The whole page: the same text for the same service."""
    facts = {
        "card": json.loads(service.card.dumps()),
        "layers": [asdict(layer) for layer in service.runtime.layers],
        "inputShape": service.runtime.input_shape,
        "gradCamShape": service.runtime.grad_cam_shape,
    }
    # No text in it may end the element.
    text = json.dumps(facts).replace("<", "\\u003c")
    return assemble(
        service.card,
        title=service.name,
        entry=ENTRY,
        data=f'<script type="application/json" id="facts">{text}</script>',
        promise=PROMISE,
        allowed={"connect-src": "'self'"},
    )

"""Garments whose try-ons each end in their own way, so that a frontend can be seen in every state.

A card of such a garment has a stripe of a colour of its own along its top, which the picture keeps
on its way through the shop, and by which the simulator knows it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from devstack.pixazo.settings import Rule

CATEGORY = "states"
SIZE = (600, 750)
STRIPE = 40
"""The stripe's height, in pixels."""


@dataclass(frozen=True)
class State:
    """How the try-ons of one garment end: `delay` in seconds, None for the usual one."""

    name: str
    colour: tuple[int, int, int]
    delay: float | None = None
    submit: Rule | None = None
    result: Rule | None = None


REFUSED = {"error": {"message": "The picture was rejected by content moderation"}}
STATES = (
    State("Takes a minute", (64, 96, 161), delay=60),
    State("Fails", (178, 34, 35), submit=Rule("submit", "failed")),
    State("Photo refused", (199, 21, 134),
          submit=Rule("submit", "http", status=400, body=REFUSED, accept=False)),
    State("Gets lost", (105, 90, 205), submit=Rule("submit", "cut", accept=True)),
    State("No picture", (47, 79, 80), result=Rule("result", "not_image")),
    State("Provider away", (139, 69, 20),
          submit=Rule("submit", "http", status=402, accept=False)),
)  # fmt: skip
NONE = State("", (0, 0, 0))
_BY_COLOUR: Mapping[bytes, State] = {bytes(state.colour): state for state in STATES}


def state_of(garment: bytes) -> State:
    """Return the state that a garment's picture stands for, `NONE` for any other garment."""
    with Image.open(io.BytesIO(garment)) as picture:
        if picture.size != SIZE:
            return NONE
        stripe = picture.convert("RGB").crop((0, 0, SIZE[0], STRIPE // 2))
    one_colour = len(stripe.getcolors(maxcolors=1) or ()) == 1
    return _BY_COLOUR.get(stripe.tobytes()[:3], NONE) if one_colour else NONE


def draw_garments(folder: Path) -> None:
    """Write the cards and a list of them, as `garments import` takes a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    font = ImageFont.load_default(size=56)
    with (folder / "garments.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "name", "brand", "category"))
        for number, state in enumerate(STATES):
            card = Image.new("RGB", SIZE, "white")
            draw = ImageDraw.Draw(card)
            draw.rectangle((0, 0, SIZE[0], STRIPE), fill=state.colour)
            middle = (SIZE[0] / 2, SIZE[1] / 2)
            draw.text(
                middle, state.name.replace(" ", "\n"), state.colour, font, "mm", align="center"
            )
            card.save(folder / f"state-{number}.png")
            rows.writerow((f"state-{number}.png", state.name, "Sandbox", CATEGORY))

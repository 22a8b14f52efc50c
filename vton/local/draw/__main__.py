"""Write every sample picture to its place in the package."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image

from vton.local.draw.garments import GARMENTS
from vton.local.draw.people import LOOKS, portrait

PACKAGE = Path(__file__).parents[2]
PHOTOS = PACKAGE / "demo" / "static" / "photos"
WARDROBE = PACKAGE / "local" / "samples" / "garments"


def main() -> None:
    """Draw and save everything."""
    PHOTOS.mkdir(parents=True, exist_ok=True)
    WARDROBE.mkdir(parents=True, exist_ok=True)
    for look in LOOKS:
        portrait(look).save(PHOTOS / f"{look.name}.jpg", quality=90, optimize=True)
    for garment in GARMENTS:
        on_white(garment.draw()).save(WARDROBE / garment.file, optimize=True)
    with (WARDROBE / "garments.csv").open("w", newline="") as table:
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["file", "name", "brand", "category"])
        rows.writerows([g.file, g.name, g.brand, g.category] for g in GARMENTS)


def on_white(garment: Image.Image) -> Image.Image:
    """As a shop shows it; in 144 colours, which keeps the file small."""
    ground = Image.new("RGB", garment.size, "white")
    ground.paste(garment, mask=garment)
    return ground.quantize(144, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()

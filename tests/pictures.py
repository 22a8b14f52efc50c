"""Pictures to test with."""

from PIL import Image, ImageDraw


def varied(width: int, height: int) -> Image.Image:
    """One that is nowhere the same, however it is turned."""
    image = Image.merge("RGB", (
        Image.radial_gradient("L"), Image.linear_gradient("L"),
        Image.linear_gradient("L").rotate(90),
    )).resize((width, height))  # fmt: skip
    draw = ImageDraw.Draw(image)
    for at in range(0, height, 16):
        draw.ellipse((at % 300, at, at % 300 + 90, at + 40), (at % 255, 120, 90), "white")
    return image

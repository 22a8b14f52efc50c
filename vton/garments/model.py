"""What a garment is."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Garment:
    """One garment. `picture` is an object path in the bucket, or an https URL elsewhere."""

    id: str
    name: str
    brand: str | None
    category: str | None
    picture: str
    created_at: datetime

    @property
    def thumbnail(self) -> str | None:
        """The object path of a small picture, None of one elsewhere."""
        return thumbnail_path(self.picture) if self.picture.startswith("garments/") else None


def thumbnail_path(picture: str) -> str:
    """Return the path of the small picture that lies beside a garment's."""
    return f"{picture.removesuffix('.png')}_thumbnail.webp"

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

"""What the three services share, and how a view gets at it."""

from dataclasses import dataclass
from pathlib import Path

from flask import current_app

from devstack.supabase.database import Database
from devstack.supabase.keys import Keys


@dataclass(frozen=True)
class Gateway:
    """One running project."""

    keys: Keys
    database: Database
    objects: Path
    """The folder of the stored bytes."""
    public_url: str
    """Where clients reach it, whatever their Host header says."""


def gateway() -> Gateway:
    """The project that the current request is for."""
    found: Gateway = current_app.extensions["gateway"]
    return found

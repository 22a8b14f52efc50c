"""What the three services share, and how a view gets at it."""

from dataclasses import dataclass, replace
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
    accepted = tuple(current_app.extensions["control"].settings.secret_keys)
    return replace(found, keys=replace(found.keys, accepted=accepted)) if accepted else found

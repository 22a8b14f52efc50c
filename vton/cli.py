"""Commands for the operator: `flask --app wsgi …`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from vton.errors import MigrationFailed, Problem, Unavailable
from vton.garments.service import Garments, ImportFailed
from vton.web.health import Health

garments_commands = AppGroup("garments", help="The garments that can be tried on.")


@garments_commands.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
def import_garments(folder: Path) -> None:
    """Store every picture of FOLDER as a garment; may be run again.

    An optional garments.csv (file, name, brand, category) says what they are called.
    """
    _require("database", "storage")
    garments = cast(Garments, current_app.extensions["garments"])
    count = 0
    try:
        for entry in garments.import_folder(folder):
            click.echo(f"{entry.picture_path}  {entry.name}")
            count += 1
    except ImportFailed as error:
        raise click.ClickException(str(error)) from None
    except Unavailable as away:
        raise click.ClickException(f"{away.why}; what was listed above is stored") from None
    except Problem as problem:
        raise click.ClickException(problem.spec.message) from None
    click.echo(f"{count} garments imported.")


@click.command("migrate")
@with_appcontext
def migrate() -> None:
    """Bring the database up to this release, over SUPABASE_DB_URL.

    Without it, only look whether that has been done, as by `supabase db push`.
    """
    apply = cast(Callable[[], Iterator[str]] | None, current_app.extensions["migrate"])
    if apply is None:
        _require("database")
    else:
        try:
            for name in apply():
                click.echo(name)
        except MigrationFailed as failed:
            raise click.ClickException(str(failed)) from None
    click.echo("The database is up to date.")


def _require(*parts: str) -> None:
    """End the command where one of these parts of the service is not ready."""
    broken = cast(Health, current_app.extensions["health"]).ready.broken()
    for part in parts:
        if part in broken:
            raise click.ClickException(f"The {part} is not ready: {broken[part][0]}.")

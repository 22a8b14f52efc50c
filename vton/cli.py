"""Commands for the operator: `flask --app wsgi …`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from vton.errors import MigrationFailed, Problem
from vton.garments.service import Garments, ImportFailed
from vton.web.health import Health

garments_commands = AppGroup("garments", help="The garments that can be tried on.")


@garments_commands.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
def import_garments(folder: Path) -> None:
    """Store every picture of FOLDER as a garment; may be run again.

    An optional garments.csv (file, name, brand, category) says what they are called.
    """
    garments = cast(Garments, current_app.extensions["garments"])
    count = 0
    try:
        for entry in garments.import_folder(folder):
            click.echo(f"{entry.picture_path}  {entry.name}")
            count += 1
    except ImportFailed as error:
        raise click.ClickException(str(error)) from None
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
        health = cast(Health, current_app.extensions["health"])
        if broken := health.ready.broken().get("database"):
            raise click.ClickException(
                f"The database is not ready: {broken[0]}. With SUPABASE_DB_URL this command"
                " migrates it; `supabase db push --linked` does, too."
            )
    else:
        try:
            for name in apply():
                click.echo(name)
        except MigrationFailed as failed:
            raise click.ClickException(str(failed)) from None
    click.echo("The database is up to date.")

"""Commands for the operator: `flask --app wsgi …`."""

from pathlib import Path
from typing import cast

import click
from flask import current_app
from flask.cli import AppGroup

from vton.errors import Problem
from vton.garments.service import Garments, ImportFailed

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

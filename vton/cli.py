"""Commands for the operator: `flask --app wsgi …`."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from vton.errors import MigrationFailed, Unavailable
from vton.garments.folder import Folder, ImportFailed, read_folder
from vton.garments.service import Garments, Imported, Outcome
from vton.web.health import Health

garments_commands = AppGroup("garments", help="The garments that can be tried on.")


@garments_commands.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
def import_garments(folder: Path) -> None:
    """Store every picture of FOLDER as a garment; may be run again.

    An optional garments.csv (file, name, brand, category) says what they are called.
    """
    _require("database", "storage")
    try:
        found = read_folder(folder)
    except ImportFailed as error:
        raise click.ClickException(str(error)) from None
    garments = cast(Garments, current_app.extensions["garments"])
    done: list[Imported] = []
    try:
        coming = garments.import_entries(found.entries)
        with click.progressbar(coming, len(found.entries), "Importing", file=sys.stderr) as bar:
            done.extend(bar)
    except Unavailable as away:
        _sum_up(done, found)
        raise click.ClickException(f"{away.why}; run it again for the rest") from None
    _sum_up(done, found)
    if any(one.outcome is Outcome.SKIPPED for one in done):
        raise SystemExit(1)


def _sum_up(done: Sequence[Imported], found: Folder) -> None:
    """Say what has become of everything that the folder has."""
    counts = Counter(one.outcome for one in done)
    skipped = {one.entry.file.name: one.why for one in done if one.outcome is Outcome.SKIPPED}
    for name, why in {**found.left_out, **skipped}.items():
        click.echo(f"skipped {name}: {why}")
    taken = sum(counts.values()) - counts[Outcome.SKIPPED]
    told = [f"{counts[outcome]} {outcome}" for outcome in Outcome if outcome is not Outcome.SKIPPED]
    click.echo(f"{taken} of {len(found.entries)} garments imported: {', '.join(told)}.")


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

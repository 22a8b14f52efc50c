"""`flask --app wsgi garments …`: what can be tried on."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from flask.cli import AppGroup

from vton.cli.output import (
    Uuid,
    confirm,
    dry_run_option,
    json_option,
    printable,
    refuse,
    said_plainly,
    show,
    tools,
    yes_option,
)
from vton.cli.service import require
from vton.errors import Unavailable
from vton.garments.folder import Folder, ImportFailed, read_folder
from vton.garments.service import Imported, Outcome

garments_commands = AppGroup("garments", help="The garments that can be tried on.")


@garments_commands.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
def import_garments(folder: Path) -> None:
    """Store every picture of FOLDER as a garment; may be run again.

    An optional garments.csv (file, name, brand, category) says what they are called.
    """
    require("database", "storage")
    try:
        found = read_folder(folder)
    except ImportFailed as error:
        raise click.ClickException(str(error)) from None
    garments = tools().garments
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
        click.echo(printable(f"skipped {name}: {why}"))
    taken = sum(counts.values()) - counts[Outcome.SKIPPED]
    told = [f"{counts[outcome]} {outcome}" for outcome in Outcome if outcome is not Outcome.SKIPPED]
    click.echo(f"{taken} of {len(found.entries)} garments imported: {', '.join(told)}.")


@garments_commands.command("list")
@json_option
def list_garments(as_json: bool) -> None:
    """List all garments, newest first."""
    with said_plainly():
        found = tools().garments.table.list(None, None, None)
    rows = [
        {"id": one.id, "name": one.name, "brand": one.brand, "category": one.category,
         "picture": one.picture}
        for one in found
    ]  # fmt: skip
    show(rows, as_json=as_json, none="No garment: flask --app wsgi garments import FOLDER")


@garments_commands.command("remove")
@click.argument("ids", metavar="ID...", type=Uuid(), nargs=-1, required=True)
@dry_run_option
@yes_option
def remove_garments(ids: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Remove garments and their pictures. Try-ons of them stay, and name no garment any more."""
    work = tools()
    with said_plainly():
        known = {one.id: one for one in work.garments.table.list(None, None, None)}
        for garment_id in ids:
            if garment_id not in known:
                refuse(f"There is no garment {garment_id}.")
            click.echo(printable(f"{garment_id}  {known[garment_id].name}"))
        if dry_run:
            return
        confirm(f"Remove {len(set(ids))} of them for good?", yes=yes)
        pictures = work.garment_removal.remove(ids)
        work.pictures.remove(pictures)
    click.echo(f"{len(set(ids))} removed.")

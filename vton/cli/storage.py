"""`flask --app wsgi storage check`: do rows and objects fit together?"""

import sys

import click
from flask.cli import AppGroup

from vton.cli.output import confirm, json_option, said_plainly, show, show_json, tools, yes_option

storage_commands = AppGroup("storage", help="The bucket: photos, results and garments.")
IN_A_CALL = 500


@storage_commands.command("check")
@click.option("--remove", is_flag=True, help="Remove the objects that no row names, after asking.")
@yes_option
@json_option
def check_storage(remove: bool, yes: bool, as_json: bool) -> None:
    """Find objects that no row names, and rows whose object is not there.

    The exit status is 1 where there are any. Objects of the last hour are left out.
    """
    work = tools()
    with said_plainly():
        strays, missing = work.records.stray_objects(), work.records.missing_objects()
        if as_json:
            show_json({"objects_without_rows": list(strays), "rows_without_objects": list(missing)})
        else:
            click.echo("Objects that no row names:")
            show(strays, as_json=False)
            click.echo("\nRows whose object is not there:")
            show(missing, as_json=False)
        if remove and strays:
            confirm(f"Remove {len(strays)} objects for good?", yes=yes)
            paths = [str(one["path"]) for one in strays]
            batches = [paths[i : i + IN_A_CALL] for i in range(0, len(paths), IN_A_CALL)]
            with click.progressbar(batches, label="Removing", file=sys.stderr) as bar:
                for some in bar:  # by now a garment may have been imported, say
                    still = {one["path"] for one in work.records.stray_objects()}
                    work.pictures.remove([path for path in some if path in still])
            strays = []
    if strays or missing:
        raise SystemExit(1)

"""`flask --app wsgi users erase`: forget somebody."""

import sys

import click
from flask.cli import AppGroup

from vton.cli.output import Uuid, confirm, dry_run_option, said_plainly, tools, yes_option
from vton.errors import Problem, Unavailable

users_commands = AppGroup("users", help="The people who try on.")


@users_commands.command("erase")
@click.argument("user_id", metavar="ID", type=Uuid())
@click.option("--account", is_flag=True, help="Delete their account in Supabase Auth, too.")
@dry_run_option
@yes_option
def erase_user(user_id: str, account: bool, dry_run: bool, yes: bool) -> None:
    """Delete all that the service has of a user: try-ons, photos, results, keys.

    In the ledger and the log of sessions their id is replaced; the figures stay. May be run again.
    """
    work = tools()
    with said_plainly():
        ids, paths = work.records.sessions_of(user_id), work.records.objects_of(user_id)
        click.echo(f"{len(ids)} try-ons and {len(paths)} pictures of {user_id}.")
        if dry_run:
            return
        also = ", and their account" if account else ""
        confirm(f"Delete all of them for good{also}?", yes=yes)
        with click.progressbar(ids, label="Deleting", file=sys.stderr) as bar:
            for session_id in bar:
                try:
                    work.tryons.delete(user_id, session_id)
                except Unavailable:
                    raise
                except Problem:  # it has gone meanwhile
                    continue
        work.pictures.remove(work.records.objects_of(user_id))
        work.records.forget_user(user_id)
        if account:
            gone = work.records.delete_account(user_id)
            click.echo("The account is deleted." if gone else "There is no such account.")
    click.echo("Done. Pictures that a run was about to store are removed once more by the sweep.")

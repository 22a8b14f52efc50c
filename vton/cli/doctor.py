"""`flask --app wsgi doctor`: is everything set up as it has to be?"""

from collections.abc import Iterable

import click
from flask.cli import with_appcontext

from vton.cli.output import checks, confirm, json_option, said_plainly, show_json, tools, yes_option
from vton.operations.model import Finding, Level

_MARKS = {
    Level.OK: ("ok", "green"),
    Level.WARNING: ("warn", "yellow"),
    Level.FAILURE: ("FAIL", "red"),
}


@click.command("doctor")
@json_option
@click.option("--try-on", is_flag=True, help="Make one paid try-on with a sample photo, too.")
@click.option(
    "--output", default="doctor-try-on.png", show_default=True, help="Where its picture goes."
)
@yes_option
@with_appcontext
def doctor(as_json: bool, try_on: bool, output: str, yes: bool) -> None:
    """Check whether all is set up: settings, database, Redis, keys, clocks, worker. Pays nothing.

    The exit status is 1 where something fails; a warning alone is none. Secrets are not printed.
    """
    report(checks().all(), as_json=as_json)
    if try_on:
        make = checks().try_on
        tools()
        assert make is not None
        confirm("This is one paid call to the provider. Go on?", yes=yes)
        with said_plainly():
            for line in make(output):
                click.echo(line, err=as_json)


def report(findings: Iterable[Finding], *, as_json: bool) -> None:
    """Print findings as they come, and end the command where one is a failure."""
    found = []
    for one in findings:
        found.append(one)
        if not as_json:
            mark, colour = _MARKS[one.level]
            click.echo(f"{click.style(f'{mark:4}', fg=colour)}  {one.check}: {one.found}")
            if one.do and one.level is not Level.OK:
                click.echo(f"      → {one.do}")
    failed = sum(one.level is Level.FAILURE for one in found)
    warned = sum(one.level is Level.WARNING for one in found)
    if as_json:
        show_json({"ok": not failed, "findings": found})
    else:
        click.echo(f"\n{len(found)} checks: {failed} failed, {warned} to look at.")
    if failed:
        raise SystemExit(1)

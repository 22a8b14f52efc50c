"""`flask --app wsgi migrate`, `pause`, `resume`, `stats` and `keys check`: the whole service."""

from collections.abc import Sequence
from datetime import timedelta

import click
from flask.cli import AppGroup, with_appcontext

from vton.cli.doctor import report
from vton.cli.output import checks, json_option, said_plainly, show, show_json, tools
from vton.errors import MigrationFailed
from vton.operations.model import Facts

_NAMES = {1: "today", 7: "7 days", 30: "30 days"}
keys_commands = AppGroup("keys", help="The keys that the service has.")


@click.command("migrate")
@click.option("--again", is_flag=True, help="Apply those that were applied, too: it mends them.")
@with_appcontext
def migrate(again: bool) -> None:
    """Bring the database up to this release, over SUPABASE_DB_URL.

    Without it, only look whether that has been done, as by `supabase db push`.
    """
    apply = tools().migrate
    if apply is None:
        if again:
            raise click.ClickException("SUPABASE_DB_URL is not set.")
        require("database")
    else:
        try:
            for name in apply(again):
                click.echo(name)
        except MigrationFailed as failed:
            raise click.ClickException(str(failed)) from None
    click.echo("The database is up to date.")


def require(*parts: str) -> None:
    """End the command where one of these parts of the service is not ready."""
    broken = tools().health.ready.broken()
    for part in parts:
        if part in broken:
            raise click.ClickException(f"The {part} is not ready: {broken[part][0]}.")


@click.command("pause")
@click.option("--minutes", type=click.IntRange(1, 60 * 24 * 30), help="Resume by itself then.")
@click.option("--message", help="What shoppers are told, in your own words (300 characters).")
@with_appcontext
def pause(minutes: int | None, message: str | None) -> None:
    """Take no new try-ons; those under way go on to their end.

    New ones are answered 503 with a message and Retry-After. All processes know it within 5 s.
    """
    if message and (len(message) > 300 or not message.isprintable()):
        raise click.ClickException("The message has to be one line of at most 300 characters.")
    with said_plainly():
        until = tools().database_now() + timedelta(minutes=minutes) if minutes else None
        tools().pauses.begin(until, message)
    end = f"until {until:%H:%M} UTC" if until else "until `flask --app wsgi resume`"
    click.echo(f"No new try-ons are taken {end}.")


@click.command("resume")
@with_appcontext
def resume() -> None:
    """Take new try-ons again, within five seconds."""
    with said_plainly():
        paused = tools().pauses.end()
    click.echo("New try-ons are taken." if paused else "It was not paused.")


@click.command("stats")
@json_option
@with_appcontext
def stats(as_json: bool) -> None:
    """Show what was tried on, and what it cost: today (UTC), in 7 and in 30 days."""
    with said_plainly():
        periods = [tools().records.stats(days) for days in (1, 7, 30)]
    if as_json:
        show_json(periods)
        return
    show(_figures(periods), as_json=False)
    click.echo()
    show(_failures(periods), as_json=False, none="Nothing failed.")
    click.echo()
    most = periods[-1]["top_users"]
    users = [{"user (30 days)": one["user_id"], "try-ons": one["try_ons"]} for one in most]
    show(users, as_json=False, none="Nobody tried anything on.")


def _figures(periods: Sequence[Facts]) -> list[dict[str, str]]:
    """Return a row for each figure, with a column for each period."""
    columns = {_NAMES[one["days"]]: _column(one) for one in periods}
    labels = next(iter(columns.values()))
    return [
        {"": label, **{name: column[label] for name, column in columns.items()}} for label in labels
    ]


def _failures(periods: Sequence[Facts]) -> list[dict[str, object]]:
    """Return a row for each code that try-ons have failed with."""
    codes = sorted({code for one in periods for code in one["failures"]})
    return [
        {
            "failed with": code,
            **{_NAMES[one["days"]]: one["failures"].get(code, 0) for one in periods},
        }
        for code in codes
    ]


def _column(period: Facts) -> dict[str, str]:
    """The figures of one period, as a person reads them."""
    ended = period["succeeded"] + period["failed"]
    rate = f"{period['succeeded'] / ended:.1%}" if ended else "-"

    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f} s"

    return {
        "try-ons": str(period["try_ons"]),
        "succeeded": f"{period['succeeded']} ({rate})",
        "failed": str(period["failed"]),
        "deleted under way": str(period["deleted"]),
        "half within": seconds(period["p50_seconds"]),
        "95 % within": seconds(period["p95_seconds"]),
        "paid, at most": str(period["paid_at_most"]),
        "of these uncertain": str(period["uncertain"]),
        "not charged": str(period["not_charged"]),
        "refused, unpaid": str(period["refused"]),
    }


@keys_commands.command("check")
@json_option
def check_keys(as_json: bool) -> None:
    """Check whether Supabase, Redis and the provider take our keys; nothing is paid for."""
    tools()
    look = checks().keys
    assert look is not None
    report(look(), as_json=as_json)

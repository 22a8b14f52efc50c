"""`flask --app wsgi sessions …`: what became of a try-on, and doing it again."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import click
from flask.cli import AppGroup

from vton import log
from vton.cli.output import (
    Since,
    Uuid,
    confirm,
    json_option,
    printable,
    refuse,
    said_plainly,
    seconds_between,
    show,
    show_json,
    tools,
    yes_option,
)
from vton.tryon.ports.database import Limits

sessions_commands = AppGroup("sessions", help="Try-ons: what became of them.")


@sessions_commands.command("list")
@click.option("--failed", is_flag=True, help="Only those that failed.")
@click.option("--since", type=Since(), default="24h", show_default=True,
              help="90m, 12h, 7d, or a date (UTC).")  # fmt: skip
@click.option("--user", type=Uuid(), help="Only this user's.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def list_sessions(
    failed: bool, since: datetime, user: str | None, limit: int, as_json: bool
) -> None:
    """List try-ons, newest first, also those that are deleted."""
    with said_plainly():
        found = tools().records.sessions(since, user, failed=failed, limit=limit)
    if as_json:
        show_json(list(found))
        return
    rows = [
        {
            "accepted (UTC)": datetime.fromisoformat(row["accepted_at"]),
            "session": row["session_id"],
            "user": row["user_id"],
            "outcome": row["outcome"] or "under way",
            "seconds": seconds_between(row["accepted_at"], row["ended_at"]),
        }
        for row in found
    ]
    show(rows, as_json=False, none="No try-on.")


@sessions_commands.command("show")
@click.argument("session_id", metavar="ID", type=Uuid())
@json_option
def show_session(session_id: str, as_json: bool) -> None:
    """Tell all that is known of a try-on, in the order in which it happened."""
    with said_plainly():
        known = tools().records.timeline(session_id)
    if not (known["row"] or known["log"] or known["submits"]):
        refuse("There is no try-on of this id, and was none within 90 days.")
    if as_json:
        show_json(known)
        return
    for line in _facts(session_id, known):
        click.echo(printable(line))
    click.echo()
    happened = sorted(_events(known), key=lambda event: event["at (UTC)"])
    first = happened[0]["at (UTC)"] if happened else None
    for event in happened:
        event["after s"] = f"{(event['at (UTC)'] - first).total_seconds():.1f}"
    show(happened, as_json=False)


def _facts(session_id: str, known: Mapping[str, Any]) -> Iterator[str]:
    """What there is to know of a try-on beside what happened to it."""
    row, logged = known["row"] or {}, known["log"] or {}
    user_id = row.get("user_id") or logged.get("user_id") or ""
    yield f"User     {user_id} (in the log: user={log.hashed(user_id)})"
    yield f"Garment  {known['garment'] or 'not known any more'}"
    yield f"Status   {row.get('status') or 'deleted'}"
    if row.get("error_code"):
        yield f"Why      {row['error_code']}: {row['error_message']}"
    yield f"Log      all lines about it have session={session_id}"


def _events(known: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What happened, and when."""
    row, logged = known["row"] or {}, known["log"] or {}
    accepted = logged.get("accepted_at") or row.get("created_at")
    yield from _event(accepted, "accepted", "")
    yield from _event(logged.get("claimed_at"), "claimed", "by its first run")
    for submit in known["submits"]:
        details = [submit["outcome"]]
        if submit["task_id"]:
            details.append(f"{submit['provider']} task {submit['task_id']}")
        if submit["charged"] is False:
            details.append("not charged")
        if submit["refused"]:
            details.append("refused: for its photo, or for money")
        if submit["result_kind"]:
            details.append(f"result: {submit['result_kind']}")
        yield from _event(submit["at"], "submitted", ", ".join(details))
    for stored in known["objects"]:
        what = "photo stored" if stored["path"].startswith("user-uploads/") else "result stored"
        yield from _event(stored["created_at"], what, stored["path"])
    looks = f"{logged['looks']} looks at the provider" if logged.get("looks") else ""
    ended = ": ".join(filter(None, (logged.get("outcome"), looks)))
    yield from _event(logged.get("ended_at"), "ended", ended)


def _event(at: str | None, what: str, details: str) -> Iterator[dict[str, Any]]:
    if at:
        yield {"at (UTC)": datetime.fromisoformat(at), "after s": "", "what": what, "": details}


@sessions_commands.command("rerun")
@click.argument("session_id", metavar="ID", type=Uuid())
@yes_option
def rerun_session(session_id: str, yes: bool) -> None:
    """Start a try-on anew, with the same photo and garment. It is paid for.

    The user's own limits do not count; the day's cap does.
    """
    work = tools()
    with said_plainly():
        row = work.records.timeline(session_id)["row"]
        if row is None:
            refuse("There is no try-on of this id any more.")
        if not row["garment_id"]:
            refuse("Its garment is not in the shop any more.")
        confirm(f"This is one more paid call, for user {row['user_id']}. Go on?", yes=yes)
        within = Limits(0, 0, 0, work.starter.limits.paid_per_day)
        starter = replace(work.starter, limits=within)
        started = starter.start_with_photo_of(row["user_id"], row["garment_id"], session_id)
    again = "is under way already" if started.replayed else "was started"
    click.echo(f"{started.session_id} {again}.")

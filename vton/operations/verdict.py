"""Whether it is well: what of an overview somebody should do something about."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from vton.operations.model import DatabaseOverview, Finding, Level, Overview, QueueOverview

RUNBOOK = "docs/operations.md: An alarm, and what to do"
ALARM_SECONDS = 3600
"""So long an alarm is shown."""
WAITING_SECONDS = 120
"""So long a try-on may wait in the queue before somebody should look."""
NEARLY_USED = 0.8
"""Of the day's paid calls, or of Redis's memory and clients."""
ENOUGH = 5
"""So many have to have ended within an hour before a share of them says something."""
TOO_MANY_FAIL = 0.3


def verdict(overview: Overview) -> list[Finding]:
    """Return what is not well, the worst first; one that is OK if all is."""
    found = [Finding(part, Level.FAILURE, why, RUNBOOK) for part, why in overview.away.items()]
    found += [
        Finding("database", Level.FAILURE, fault, "flask --app wsgi migrate --again")
        for fault in overview.faults
    ]
    if overview.queue is not None:
        found += _of_queue(overview.queue)
        found += _of_alarms(overview.queue, overview.at)
    if overview.database is not None:
        found += _of_database(overview.database, overview.paid_cap)
    if overview.pause is not None:
        until = overview.pause.until
        end = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
        found.append(
            Finding("pause", Level.WARNING, f"new try-ons are refused{end}", "flask … resume")
        )
    found.sort(key=lambda one: one.level is not Level.FAILURE)
    return found or [Finding("service", Level.OK, "all is well")]


def _of_queue(queue: QueueOverview) -> Iterator[Finding]:
    if not queue.workers:
        yield Finding("worker", Level.FAILURE, "no worker lives", "start one; read its last lines")
    if queue.wants_money:
        yield Finding(
            "provider", Level.FAILURE, "it wants money: nothing is submitted but a probe a minute",
            "look at the provider's account",
        )  # fmt: skip
    if queue.policy and queue.policy != "noeviction":
        yield Finding(
            "redis", Level.FAILURE, f"maxmemory-policy is {queue.policy}: it may drop jobs",
            "set it to noeviction",
        )  # fmt: skip
    if queue.max_memory and queue.used_memory > NEARLY_USED * queue.max_memory:
        share = queue.used_memory / queue.max_memory
        yield Finding("redis", Level.WARNING, f"{share:.0%} of its memory is used", "a larger plan")
    if queue.max_clients and queue.clients > NEARLY_USED * queue.max_clients:
        clients = f"{queue.clients} of {queue.max_clients} connections are used"
        yield Finding("redis", Level.WARNING, clients, "a larger plan, or fewer processes")


def _of_alarms(queue: QueueOverview, now: datetime) -> Iterator[Finding]:
    """Yield the last hour's alarms, each text once, with how often it was among the last twenty."""
    recent = [text for at, text in queue.alarms if now.timestamp() - at < ALARM_SECONDS]
    for text, number in Counter(recent).items():
        often = f" ({number} times)" if number > 1 else ""
        yield Finding("log", Level.FAILURE, f"{text}{often}", RUNBOOK)


def _of_database(database: DatabaseOverview, paid_cap: int) -> Iterator[Finding]:
    if database.oldest_seconds > WAITING_SECONDS:
        waited = f"a try-on has waited for {database.oldest_seconds:.0f} s to be taken"
        yield Finding("queue", Level.FAILURE, waited, "more workers; or the provider takes none")
    if paid_cap and database.paid_today >= paid_cap:
        yield Finding(
            "money", Level.FAILURE, f"the day's {paid_cap} paid calls are used up",
            "MAX_PAID_PER_DAY, or wait until midnight UTC",
        )  # fmt: skip
    elif paid_cap and database.paid_today > NEARLY_USED * paid_cap:
        used = f"{database.paid_today} of the day's {paid_cap} paid calls are used"
        yield Finding("money", Level.WARNING, used, "look who uses them: flask … stats")
    ended = sum(n for outcome, n in database.last_hour.items() if outcome != "deleted")
    failed = ended - database.last_hour.get("success", 0)
    if ended >= ENOUGH and failed > TOO_MANY_FAIL * ended:
        share = f"{failed} of {ended} try-ons of the last hour failed"
        yield Finding("outcomes", Level.WARNING, share, "flask … sessions list --failed")

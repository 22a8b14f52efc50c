"""What a line of the log has, what it may have of what others said, and how often."""

import hashlib
import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from vton import log, metrics
from vton.log import Format, Seldom, cleaned

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
USER = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


@pytest.mark.parametrize(
    ("said", "logged"),
    [
        ("no balance", "no balance"),
        ("", ""),
        (None, "None"),
        ({"a": 1}, "{'a': 1}"),
        ("cannot open https://x.supabase.co/sign/me.jpg?token=abc now", "cannot open <URL> now"),
        (r"cannot open https:\/\/x.supabase.co\/me.jpg", "cannot open <URL>"),
        (f"no object user-uploads/{USER}/1_original.jpg", "no object <path>"),
        (f"no object try-on-results/{USER}/x_result.png.", "no object <path>"),
        (f"bad jwt {JWT}", "bad jwt <token>"),
        ("key sb_secret_abcdef refused", "key <token> refused"),
        ("a" * 40, "<token>"),
        (f"{'YWJj' * 30}==", "<token>"),
        (f"session {USER} is not there", f"session {USER} is not there"),
        ("one\nALARM two\r\x1b[31m\u2028three", "one ALARM two  [31m three"),
    ],
)
def test_what_others_said_is_cleaned(said: object, logged: str) -> None:
    assert cleaned(said) == logged


def test_it_is_short_and_quickly_done() -> None:
    assert cleaned("word " * 1_000_000) == "word " * 40
    assert cleaned("word " * 3, 4) == "word"


def test_what_comes_often_is_said_seldom() -> None:
    now = [10.0]
    seldom = Seldom(2, lambda: now[0])

    first = [seldom.may_say() for _ in range(5)]
    now[0] = 10.9
    still = seldom.may_say()
    now[0] = 11.0
    second = [seldom.may_say() for _ in range(3)]
    now[0] = 20.0
    later = seldom.may_say()
    now[0] = 30.0
    last = seldom.may_say()

    assert [may for may, _ in first] == [True, True, False, False, False]
    assert still == (False, 0)
    assert second == [(True, 4), (True, 0), (False, 0)]
    assert (later, last) == ((True, 1), (True, 0))


class Written:
    """A logger, and what it has written."""

    def __init__(self, kind: Format) -> None:
        self._stream = io.StringIO()
        self.logger = logging.getLogger(f"vton.test_log.{kind}")
        self.logger.handlers[:] = [log.handler(kind, self._stream)]
        self.logger.propagate = False
        self.logger.setLevel(logging.INFO)

    @property
    def lines(self) -> list[str]:
        """The lines."""
        return self._stream.getvalue().splitlines()


@pytest.fixture(autouse=True)
def _no_ids() -> Iterator[None]:
    """Find no id that another test has left, and leave none."""
    request, session = log.request_id.set(""), log.session_id.set("")
    yield
    log.request_id.reset(request)
    log.session_id.reset(session)


def test_a_line_has_the_time_in_utc_its_level_and_the_ids() -> None:
    text = Written("text")
    log.request_id.set("r1")
    with log.about("s1"):
        text.logger.warning("not accepted: %s", 503, extra={"task": "t1", "ms": 7})
    text.logger.info("ready")

    about, ready = text.lines
    at = r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) "
    head = "WARNING vton.test_log.text request=r1 session=s1"
    assert re.sub(at, "", about) == f"{head} not accepted: 503 task=t1 ms=7"
    assert re.sub(at, "", ready) == "INFO vton.test_log.text request=r1 ready"
    found = re.match(at, ready)
    assert found
    assert abs((datetime.now(UTC) - datetime.fromisoformat(found[1])).total_seconds()) < 60


def test_the_session_of_a_line_may_be_another_one() -> None:
    text = Written("text")
    with log.about("s1"):
        text.logger.info("deleted", extra={"session": "s2"})

    assert text.lines[0].endswith(" session=s2 deleted")


def test_every_line_of_a_traceback_has_the_ids() -> None:
    text = Written("text")
    with log.about("s1"):
        try:
            raise RuntimeError("one\ntwo")
        except RuntimeError:
            text.logger.exception("broke")

    assert len(text.lines) > 4
    assert all(" ERROR vton.test_log.text session=s1 " in line for line in text.lines)
    assert text.lines[-1].endswith(" two")


def test_as_json_a_line_is_an_object() -> None:
    written = Written("json")
    log.request_id.set("r1")
    with log.about("s1"):
        try:
            raise RuntimeError("one\ntwo")
        except RuntimeError:
            written.logger.exception("broke", extra={"ms": 7})

    (line,) = written.lines
    found = json.loads(line)
    assert datetime.fromisoformat(found.pop("time")).utcoffset() == datetime.now(UTC).utcoffset()
    assert found.pop("exc_info").endswith("RuntimeError: one\ntwo")
    assert found == {
        "level": "ERROR", "logger": "vton.test_log.json", "message": "broke", "ms": 7,
        "request": "r1", "session": "s1",
    }  # fmt: skip


def test_alarms_are_counted() -> None:
    text, before = Written("text"), metrics.ALARMS._value.get()

    text.logger.error("ALARM the provider wants money")
    text.logger.error("the provider wants an ALARM")

    assert metrics.ALARMS._value.get() == before + 1


def test_a_users_hash_says_nothing_of_the_user_and_is_always_the_same() -> None:
    assert log.hashed(USER) == hashlib.sha256(USER.encode()).hexdigest()[:12]
    assert log.hashed(USER) != log.hashed(USER.upper())


@pytest.mark.parametrize("kind", ["text", "json"])
def test_what_an_exception_quotes_is_left_out(kind: Format) -> None:
    written = Written(kind)
    try:
        raise RuntimeError(
            f"https://x.supabase.co/sign?token=abc user-uploads%2F{USER}%2F1.jpg {JWT}"
        )
    except RuntimeError:
        written.logger.exception("broke")

    text = "".join(written.lines)
    assert "RuntimeError: <left out> <left out> <left out>" in text
    assert "test_log.py" in text
    assert USER not in text

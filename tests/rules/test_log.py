"""What the log may have of what others said, and how often."""

import pytest

from vton.log import Seldom, cleaned

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

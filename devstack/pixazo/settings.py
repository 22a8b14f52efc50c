"""What a test can change at run time: the settings, and the rules by which requests go wrong."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

CONTRACTS = ("v2", "legacy")
GARMENT_FIELDS = ("cloth_image", "image_tail", "either")
RESULT_FORMATS = ("png", "jpeg")

# Kinds that decide how an accepted task ends; they go with `at: submit`.
FATES = ("failed", "error", "never", "word", "no_result", "unchanged", "blank")
KINDS = {
    "submit": ("http", "cut", "slow", "drip", *FATES),
    "status": ("http", "cut", "slow", "drip", "word"),
    "result": (
        "http", "cut", "slow", "drip", "not_image", "truncated", "huge", "redirect",
    ),
}  # fmt: skip


@dataclass
class Rule:
    """One fault. Rules with the same `at` are used up in order: the first lets `after` requests
    pass, then spoils `times` of them (None: all that come), then the next rule has its turn."""

    at: str
    kind: str
    times: int | None = 1
    after: int = 0
    accept: bool | None = None  # submit: is it accepted all the same? None: unless kind is http
    status: int = 503  # http, redirect
    body: Any = None  # http: JSON, or text when it is a string; None: the vendor's usual body
    headers: dict[str, str] = field(default_factory=dict)  # added to the spoilt answer
    seconds: float = 5.0  # slow: before the answer; drip: between two bytes
    word: str = "THINKING"  # word: the status that is reported
    message: str = "The picture could not be processed"  # failed, error
    size: int = 100_000_000  # huge: bytes
    to: str | None = None  # redirect: where; None: to itself

    def __post_init__(self) -> None:
        """Complain about a place or kind that does not exist, and about values of wrong type."""
        if self.kind not in KINDS.get(self.at, ()):
            raise ValueError(f"faults: no kind {self.kind!r} at {self.at!r}; there are {KINDS}")
        if not (self.times is None or _is_number(self.times)) or not _is_number(self.after):
            raise ValueError("faults: times is a number or null, after is a number")
        if not _is_number(self.seconds) or not isinstance(self.headers, dict):
            raise ValueError("faults: seconds is a number, headers an object")

    @property
    def accepts(self) -> bool:
        """Whether a submit under this rule is accepted (and paid for) all the same."""
        return self.kind != "http" if self.accept is None else self.accept


@dataclass(frozen=True)
class Settings:
    """The simulator's behaviour; `changed` checks, so a wrong test fails where it is wrong."""

    delay: float = 8.0  # seconds from submit to COMPLETED; QUEUED for the first quarter
    contract: str = "v2"
    garment_field: str = "cloth_image"
    result_format: str = "png"
    faults: tuple[Rule, ...] = ()

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with `changes` (from JSON); ValueError says which name is wrong."""
        unknown = set(changes) - {f.name for f in fields(self)}
        if unknown:
            raise ValueError(f"no such setting: {', '.join(sorted(unknown))}")
        new = replace(self, **{**changes, "faults": _rules(changes.get("faults", self.faults))})
        choices = {
            "contract": CONTRACTS, "garment_field": GARMENT_FIELDS, "result_format": RESULT_FORMATS,
        }  # fmt: skip
        for name, allowed in choices.items():
            if getattr(new, name) not in allowed:
                raise ValueError(f"{name}: one of {', '.join(allowed)}")
        if not _is_number(new.delay):
            raise ValueError("delay: seconds, a number of at least 0")
        return new

    def as_json(self) -> dict[str, Any]:
        """A dictionary that `changed` takes back; faults as far as they are not used up."""
        return asdict(self)


class FaultRules:
    """The live rules, counted down by requests from many threads."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = [replace(rule) for rule in rules]
        self._lock = threading.Lock()

    def take(self, at: str) -> Rule | None:
        """The rule that spoils this request at `at`, counted down by one; None: all is well."""
        with self._lock:
            for rule in self._rules:
                if rule.at != at or rule.times == 0:
                    continue
                if rule.after > 0:
                    rule.after -= 1
                    return None
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    def left(self) -> tuple[Rule, ...]:
        """A copy of the rules that still have something to spoil."""
        with self._lock:
            return tuple(replace(rule) for rule in self._rules if rule.times != 0)


def _rules(given: Any) -> tuple[Rule, ...]:
    """Rules from JSON objects (or rules); ValueError for anything else."""
    try:
        return tuple(rule if isinstance(rule, Rule) else Rule(**rule) for rule in given)
    except TypeError as error:
        raise ValueError(f"faults: {error}") from error


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0

"""Signed URLs, which are handed out again: only of their own bucket, and not for too long."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fakeredis import FakeServer, FakeStrictRedis
from redis import Redis
from supabase import Client

from vton.adapters.redis.cache import Cache
from vton.adapters.redis.signed_urls import (
    CACHED_SECONDS,
    SIGNED_SECONDS,
    SignedUrlCache,
    dump,
    load,
)
from vton.adapters.supabase.storage import Bucket
from vton.tryon.ports.storage import SignedUrl

PATH = "try-on-results/user/session_result.png"
INSIDE, OUTSIDE = "http://kong:8000/prefix", "https://a.supabase.co"
BUCKET = "https://a.supabase.co/try-on"
UNTIL = datetime(2026, 11, 27, 13, tzinfo=UTC)
URL = SignedUrl("https://a.supabase.co/sign/r.png?token=t&x=ü", UNTIL)


class World:
    """Redis, and what is kept in it."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.redis: Redis = FakeStrictRedis(server=self.server)

    def urls(self, bucket_url: str = BUCKET) -> SignedUrlCache:
        """A process's URLs of a bucket."""
        return SignedUrlCache(Cache(self.redis), bucket_url)


@pytest.fixture
def world() -> World:
    """A Redis of this test's own."""
    return World()


@pytest.fixture
def urls(world: World) -> SignedUrlCache:
    """A process's URLs."""
    return world.urls()


# -- what is kept ------------------------------------------------------------------------------


def test_a_url_is_found_again_by_all_processes(world: World, urls: SignedUrlCache) -> None:
    urls.remember({PATH: URL})

    assert urls.find([PATH]) == {PATH: URL}
    assert world.urls().find([PATH]) == {PATH: URL}


def test_each_path_has_its_own_url_and_what_is_not_known_has_none(urls: SignedUrlCache) -> None:
    known = {f"p{n}": SignedUrl(f"https://a.supabase.co/{n}", UNTIL) for n in range(5)}
    urls.remember(known)

    wanted = ["p3", "unknown", "p0", "p", "p4", "p33"]
    assert urls.find(wanted) == {path: known[path] for path in ("p3", "p0", "p4")}
    assert urls.find(set(wanted) | set(known)) == known
    assert urls.find(dict.fromkeys(known)) == known


@pytest.mark.parametrize(
    "other",
    [
        "https://b.supabase.co/try-on",
        "https://a.supabase.co/other",
        "https://a.supabase.co/try-on/",
        "https://a.supabase.co",
        "",
    ],
)
def test_another_buckets_url_is_never_found(world: World, urls: SignedUrlCache, other: str) -> None:
    elsewhere = world.urls(other)
    elsewhere.remember({PATH: URL})

    assert urls.find([PATH]) == {}
    assert urls.key(PATH) != elsewhere.key(PATH)
    urls.forget([PATH])
    assert elsewhere.find([PATH]) == {PATH: URL}


def test_a_url_is_handed_out_for_half_of_its_life(world: World, urls: SignedUrlCache) -> None:
    urls.remember({PATH: URL, "other": URL})

    for path in (PATH, "other"):
        seconds = world.redis.pttl(urls.key(path)) / 1000
        assert SIGNED_SECONDS / 2 - 1 < seconds <= SIGNED_SECONDS / 2
    assert CACHED_SECONDS * 2 == SIGNED_SECONDS == 3600


def test_a_newer_url_replaces_an_older_one(world: World, urls: SignedUrlCache) -> None:
    urls.remember({PATH: URL})
    world.redis.expire(urls.key(PATH), 5)
    newer = SignedUrl("https://a.supabase.co/newer", UNTIL + timedelta(hours=1))

    urls.remember({PATH: newer})

    assert urls.find([PATH]) == {PATH: newer}
    assert world.redis.ttl(urls.key(PATH)) > 1000


def test_what_is_forgotten_is_not_handed_out(urls: SignedUrlCache) -> None:
    urls.remember({PATH: URL, "a": URL, "b": URL})

    urls.forget([PATH, "a", "never there"])

    assert urls.find([PATH, "a", "b"]) == {"b": URL}


def test_nothing_is_asked_for_nothing(world: World, urls: SignedUrlCache) -> None:
    world.server.connected = False
    assert urls.find([]) == {}
    assert urls.find(set()) == {}

    world.server.connected = True
    urls.remember({})
    urls.remember({PATH: URL})
    assert urls.find([PATH]) == {PATH: URL}


@pytest.mark.parametrize(
    "until",
    [
        UNTIL,
        UNTIL.replace(microsecond=1),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime.max.replace(tzinfo=UTC),
    ],
)
def test_a_url_is_stored_with_its_end(until: datetime) -> None:
    signed = SignedUrl(URL.url, until)

    assert load(dump(signed).encode()) == signed


# -- without Redis -----------------------------------------------------------------------------


def test_without_redis_nothing_is_known_and_nothing_is_raised(
    world: World, urls: SignedUrlCache
) -> None:
    world.server.connected = False

    assert urls.find([PATH]) == {}
    urls.remember({PATH: URL})
    urls.forget([PATH])


def test_what_was_removed_is_forgotten_also_just_after_redis_was_away(
    world: World, urls: SignedUrlCache
) -> None:
    urls.remember({PATH: URL})
    world.server.connected = False
    urls.find([PATH])
    world.server.connected = True

    urls.forget([PATH])

    assert world.urls().find([PATH]) == {}
    urls.remember({PATH: URL})  # within the ten seconds: not worth asking for
    assert world.urls().find([PATH]) == {}


# -- the bucket that hands them out ------------------------------------------------------------


class FakeStorage:
    """Supabase's storage: signs what is there, and notes what it is asked."""

    def __init__(self, *there: str) -> None:
        self.there = set(there)
        self.signed: list[tuple[list[str], int]] = []
        self.removed: list[list[str]] = []

    def from_(self, name: str) -> "FakeStorage":
        assert name == "try-on"
        return self

    def create_signed_urls(self, paths: Sequence[str], seconds: int) -> list[dict[str, Any]]:
        self.signed.append((list(paths), seconds))
        number = len(self.signed)
        return [
            {"path": path, "error": None, "signedURL": f"{INSIDE}/storage/v1/{path}?{number}"}
            if path in self.there
            else {"path": path, "error": "Either the object does not exist", "signedURL": None}
            for path in paths
        ]

    def remove(self, paths: list[str]) -> None:
        self.removed.append(paths)


def bucket(storage: FakeStorage, urls: SignedUrlCache) -> Bucket:
    """A bucket whose storage is faked."""
    return Bucket(cast(Client, SimpleNamespace(storage=storage)), "try-on", urls, OUTSIDE)


def test_only_what_is_not_known_is_signed_in_one_call(urls: SignedUrlCache) -> None:
    storage = FakeStorage("a", "b", "c")
    pictures = bucket(storage, urls)
    first = pictures.sign(["b", "a", "b"])
    assert storage.signed == [(["a", "b"], SIGNED_SECONDS)]

    again = pictures.sign({"a", "b", "c"})

    assert storage.signed[1:] == [(["c"], SIGNED_SECONDS)]
    assert {path: again[path] for path in "ab"} == first
    assert again["c"].url == f"{OUTSIDE}/storage/v1/c?2"  # and not where this service reaches it
    assert pictures.sign(["a", "c"]) == {path: again[path] for path in "ac"}
    assert len(storage.signed) == 2


def test_a_url_says_how_long_it_opens_its_picture(urls: SignedUrlCache) -> None:
    before = datetime.now(UTC)

    signed = bucket(FakeStorage("a"), urls).sign(["a"])["a"]

    assert timedelta(minutes=59) < signed.expires_at - before <= timedelta(hours=1)


def test_what_is_not_there_has_no_url_and_is_asked_for_again(urls: SignedUrlCache) -> None:
    storage = FakeStorage("a")
    pictures = bucket(storage, urls)

    assert pictures.sign(["a", "gone"]).keys() == {"a"}
    storage.there.add("gone")
    assert pictures.sign(["a", "gone"]).keys() == {"a", "gone"}


def test_a_garment_elsewhere_is_not_signed_and_is_always_open(urls: SignedUrlCache) -> None:
    storage, elsewhere = FakeStorage("a"), "https://shop.example/shirt.png"

    signed = bucket(storage, urls).sign([elsewhere, "a"])

    assert signed.keys() == {elsewhere, "a"}
    assert signed[elsewhere] == SignedUrl(elsewhere, datetime.max.replace(tzinfo=UTC))
    assert storage.signed == [(["a"], SIGNED_SECONDS)]
    assert bucket(storage, urls).sign([]) == {}
    assert len(storage.signed) == 1


def test_what_is_removed_is_forgotten(world: World, urls: SignedUrlCache) -> None:
    storage = FakeStorage("a", "b")
    pictures = bucket(storage, urls)
    pictures.sign(["a", "b"])

    pictures.remove(["a"])

    assert storage.removed == [["a"]]
    assert urls.find(["a", "b"]).keys() == {"b"}
    world.server.connected = False
    pictures.remove([])
    assert storage.removed == [["a"]]
    pictures.remove(["b"])
    assert storage.removed == [["a"], ["b"]]


def test_what_is_signed_while_its_object_is_removed_is_forgotten(world: World) -> None:
    """Else a history that was asked for meanwhile would leave its URLs behind."""
    urls = world.urls()

    def remove(_paths: list[str]) -> None:
        urls.remember({PATH: URL})

    client = SimpleNamespace(
        storage=SimpleNamespace(from_=lambda _name: SimpleNamespace(remove=remove))
    )
    bucket = Bucket(cast(Client, client), "bucket", urls, "https://a.supabase.co")

    bucket.remove([PATH])

    assert urls.find([PATH]) == {}

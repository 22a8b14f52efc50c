"""One whole stack for each pytest worker: PostgreSQL, Valkey, gateway, simulator, web, worker."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import requests
from actors import Simulator, User, clean_environ, end_all_runs
from redis import Redis

from config import Config
from devstack.pixazo.states import CATEGORY
from devstack.stack import GARMENTS, Stack, free_ports
from vton.adapters.redis.circuit_breaker import PAUSED_KEY, PROBE_KEY, TRIPPED_KEY
from vton.wiring import Services, connect

NO_LIMITS = dict.fromkeys(("MAX_UNFINISHED_PER_USER", "MAX_PER_DAY_PER_USER", "RATE_LIMIT"), "0")
"""Tests do more than a user may; those of the limits set them."""

LONGEST = ("make_run", "outages", "worker", "recovery", "provider", "http", "auth", "dashboard")
"""Files that wait the longest begin first, so that no worker ends alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the order is else as it was."""
    ranks = {f"test_{name}.py": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running service on real parts; the simulator answers at once unless told otherwise."""
    environ = clean_environ(PIXAZO_FIRST_POLL="0.05", PIXAZO_POLL_INTERVAL="0.1", **NO_LIMITS)
    few = tmp_path_factory.mktemp("garments")
    head, *lines = (GARMENTS / "garments.csv").read_text().splitlines()
    of_two_categories = lines[-3:]
    (few / "garments.csv").write_text("\n".join([head, *of_two_categories]))
    for line in of_two_categories:
        shutil.copy(GARMENTS / line.split(",")[0], few)
    running = Stack(
        environ,
        tmp_path_factory.mktemp("stack"),
        free_ports(),
        simulator_delay=0,
        quiet=True,
        garments=few,
    )
    try:
        running.start()
        yield running
    finally:
        running.stop(remove=True)


@pytest.fixture
def simulator(stack: Stack, redis: Redis, database: psycopg.Connection[Any]) -> Iterator[Simulator]:
    """The simulator, reset before and after; what a test leaves running is ended."""
    control = Simulator(stack.pixazo_url)
    control.reset()
    yield control
    end_all_runs(redis, database)  # one that is refused would pause all others once more
    control.reset()
    redis.delete(TRIPPED_KEY, PAUSED_KEY, PROBE_KEY)


@pytest.fixture
def sign_up(stack: Stack) -> Callable[[], User]:
    """Make a new user."""

    def make() -> User:
        settings = stack.child_environ
        response = requests.post(
            f"{settings['SUPABASE_URL']}/auth/v1/signup",
            json={"email": f"{uuid4().hex}@example.com", "password": "correct horse"},
            headers={"apikey": settings["SUPABASE_PUBLISHABLE_KEY"]},
            timeout=10,
        )
        answer = response.json()
        return User(answer["user"]["id"], answer["access_token"], stack.web_url)

    return make


@pytest.fixture
def user(sign_up: Callable[[], User]) -> User:
    """A new user."""
    return sign_up()


@pytest.fixture(scope="session")
def garment_id(stack: Stack) -> str:
    """One of the sample garments."""
    listed = requests.get(f"{stack.web_url}/api/garments", timeout=10).json()["data"]
    return next(garment["id"] for garment in listed if garment["category"] != CATEGORY)


@pytest.fixture
def database(stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    """The database as its owner; what is done in it is seen by everybody."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def redis(stack: Stack) -> Iterator[Redis]:
    """The Redis of the stack."""
    with Redis.from_url(stack.child_environ["REDIS_URL"]) as client:
        yield client


@pytest.fixture
def services(stack: Stack) -> Services:
    """What a process of the stack works with, in this process."""
    return connect(Config.from_env(stack.child_environ))

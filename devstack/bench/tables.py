"""History and garments, with few rows in the tables and with a million."""

import statistics
import time

import requests

from devstack.bench.stand import Bench
from devstack.bench.table import Row, Section

ROWS = (100, 10_000, 1_000_000)
OWN_ROWS = 60
COUNT = 100


def measure() -> Section:
    """Read both lists by HTTP while the tables grow."""
    rows: list[Row] = []
    with Bench(1) as bench:
        others = _fill_users(bench)
        _fill_history(bench, [bench.user_id], OWN_ROWS)
        first: dict[str, float] = {}
        there = 0
        for count in ROWS:
            _fill_history(bench, others, count - there)
            _fill_garments(bench, there, count)
            there = count
            bench.database.execute("analyze try_on_history, garments")
            lists = {
                "history, first page": "/api/try-on/history?limit=20",
                "history, third page": "/api/try-on/history?limit=20&cursor=" + _cursor(bench),
                "garments, a page": "/api/garments?limit=24",
                "garments of a category, a page": "/api/garments?limit=24&category=filler3",
            }
            for name, path in lists.items():
                took = _read(bench, path)
                first.setdefault(name, took)
                rows.append(
                    Row(f"{name}, {count} rows: p50", f"{took * 1000:.1f} ms",
                        f"with {ROWS[0]} rows: {first[name] * 1000:.1f} ms", took / first[name],
                        "1.50 or less")
                )  # fmt: skip
    return Section("History and garments", f"{COUNT} requests each, on one connection.", rows)


def _read(bench: Bench, path: str) -> float:
    took = []
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {bench.token}"
        for _ in range(COUNT + 10):
            began = time.perf_counter()
            answer = session.get(bench.stack.web_url + path)
            took.append(time.perf_counter() - began)
            assert answer.ok, answer.text
    return statistics.median(took[10:])


def _cursor(bench: Bench) -> str:
    headers, cursor = {"Authorization": f"Bearer {bench.token}"}, ""
    for _ in range(2):
        url = f"{bench.stack.web_url}/api/try-on/history?limit=20&cursor={cursor}".rstrip("=")
        url = url.removesuffix("&cursor")
        cursor = requests.get(url, headers=headers, timeout=10).json()["meta"]["next_cursor"]
    return cursor


def _fill_users(bench: Bench) -> list[str]:
    return [bench.sign_up()[0] for _ in range(20)]


def _fill_history(bench: Bench, user_ids: list[str], count: int) -> None:
    """Insert ended sessions; their pictures are not there, which the lists take."""
    bench.database.execute(
        """
        insert into try_on_history
          (id, user_id, garment_id, original_user_image_url, status, error_message, error_code,
           created_at)
        select gen_random_uuid(), owner, %s,
               'user-uploads/' || owner || '/' || gen_random_uuid() || '_original.jpg',
               'failed', 'm', 'provider_failed', now() - n * interval '1 s'
        from (select n, (%s::uuid[])[1 + n %% %s] owner from generate_series(1, %s) n) made
        """,
        [bench.garment_id, user_ids, len(user_ids), count],
    )


def _fill_garments(bench: Bench, there: int, count: int) -> None:
    bench.database.execute(
        """
        insert into garments (name, category, image_url, created_at)
        select 'Filler ' || n, 'filler' || n %% 10, 'https://shop.example/' || n || '.png',
               now() - n * interval '1 s'
        from generate_series(%s::int, %s::int) n
        """,
        [there + 1, count],
    )

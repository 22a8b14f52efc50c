"""What the operator is told: the log of sessions, figures, objects, and what is in force."""

import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb
from sql.rows import (
    Database,
    create,
    make_claim,
    make_garment,
    make_session,
    make_submit,
    make_user,
    one,
    photo_of,
    result_of,
    values,
)

BUCKET = "vton-assets"
NOBODY = UUID(int=0)


def logged(db: Database, session_id: UUID) -> dict[str, Any]:
    """What is logged of a session."""
    return dict(one(db, "select to_jsonb(l) from session_log l where session_id = %s", session_id))


def end(
    db: Database, session_id: UUID, result: str | None, code: str | None, looks: int = 0
) -> bool:
    """End a session as a run does."""
    message = None if code is None else "It did not work."
    query = "select end_session(%s, %s, %s, %s, %s)"
    return bool(one(db, query, session_id, result, code, message, looks))


def store(db: Database, path: str, minutes_old: int = 120) -> None:
    """Put an object into the bucket, some time ago."""
    db.execute(
        "insert into storage.objects (bucket_id, name, created_at, updated_at, metadata)"
        " select %s, %s, at, at, %s from (select now() - %s * interval '1 min' as at) stored",
        [BUCKET, path, Jsonb({"size": 7}), minutes_old],
    )


def faults(db: Database) -> list[str]:
    """What is not in force."""
    return list(values(db, "select installation_faults(%s)", BUCKET))


def test_the_time_is_the_databases(db: Database) -> None:
    assert abs(one(db, "select database_time()") - time.time()) < 60


# -- the log of sessions ---------------------------------------------------------------------


def test_a_session_is_logged_from_its_start_to_its_end(db: Database) -> None:
    user_id = make_user(db)
    _, session_id = create(db, user_id)
    assert session_id is not None
    started = logged(db, session_id)
    db.execute("update try_on_history set status = 'processing' where id = %s", [session_id])
    claimed = logged(db, session_id)

    assert end(db, session_id, result_of(user_id, session_id), None, 4)

    ended = logged(db, session_id)
    assert started["user_id"] == str(user_id)
    assert (started["accepted_at"] is None, started["claimed_at"]) == (False, None)
    assert (claimed["claimed_at"] is None, claimed["ended_at"]) == (False, None)
    assert (ended["outcome"], ended["looks"]) == ("success", 4)
    assert ended["ended_at"] is not None
    assert one(db, "select status from try_on_history where id = %s", session_id) == "success"


def test_why_a_session_failed_is_logged(db: Database) -> None:
    session_id = make_session(db, make_user(db), "processing")

    assert end(db, session_id, None, "provider_failed")

    assert logged(db, session_id)["outcome"] == "provider_failed"
    assert values(
        db, "select status, error_code, error_message from try_on_history where id = %s", session_id
    ) == [("failed", "provider_failed", "It did not work.")]


def test_a_session_ends_once(db: Database) -> None:
    user_id = make_user(db)
    session_id = make_session(db, user_id, "processing")
    assert end(db, session_id, None, "provider_failed", 2)

    assert not end(db, session_id, result_of(user_id, session_id), None, 9)
    assert not end(db, uuid4(), None, "provider_failed")

    assert (logged(db, session_id)["outcome"], logged(db, session_id)["looks"]) == (
        "provider_failed", 2,
    )  # fmt: skip


def test_the_first_claim_counts(db: Database) -> None:
    session_id = make_session(db, make_user(db), "queued")
    for at in ("2026-01-01", "2026-01-02"):
        db.execute("update session_log set claimed_at = coalesce(claimed_at, %s)", [at])
        db.execute("update try_on_history set status = 'processing' where id = %s", [session_id])

    assert logged(db, session_id)["claimed_at"].startswith("2026-01-01")


def test_a_delete_ends_what_runs_and_nothing_else(db: Database) -> None:
    user_id = make_user(db)
    running, done = make_session(db, user_id, "processing"), make_session(db, user_id, "processing")
    end(db, done, result_of(user_id, done), None)

    db.execute("delete from try_on_history")

    assert logged(db, running)["outcome"] == "deleted"
    assert logged(db, done)["outcome"] == "success"


def test_what_was_undone_was_never_accepted(db: Database) -> None:
    user_id = make_user(db)
    _, undone = create(db, user_id)
    _, deleted = create(db, user_id)

    db.execute("select undo_session(%s)", [undone])
    db.execute("delete from try_on_history where id = %s", [deleted])

    assert values(db, "select session_id, outcome from session_log") == [(deleted, "deleted")]


def test_the_log_outlives_an_account(db: Database) -> None:
    user_id = make_user(db)
    session_id = make_session(db, user_id, "processing")

    db.execute("delete from auth.users where id = %s", [user_id])

    assert logged(db, session_id)["outcome"] == "deleted"


# -- pauses ----------------------------------------------------------------------------------


def test_there_is_one_pause_at_most(db: Database) -> None:
    db.execute("insert into pauses (message) values ('soon')")

    again = db.execute(
        "insert into pauses (message) values ('later') on conflict (one)"
        " do update set message = excluded.message"
    )

    assert again.rowcount == 1
    assert values(db, "select message from pauses") == ["later"]


# -- figures ---------------------------------------------------------------------------------


def test_the_overview_counts_what_is_unfinished_and_what_ended(db: Database) -> None:
    user_id = make_user(db)
    before = one(db, "select overview()")
    for status in ("queued", "queued", "processing"):
        make_session(db, user_id, status)
    db.execute("update try_on_history set created_at = now() - interval '90 s'"
               " where status = 'queued'")  # fmt: skip
    for code in (None, None, "provider_failed"):
        session_id = make_session(db, user_id, "processing")
        end(db, session_id, None if code else result_of(user_id, session_id), code)
    make_submit(db, user_id)

    seen = one(db, "select overview()")

    assert before["last_hour"] == {}
    assert (before["queued"], before["oldest_seconds"]) == (0, 0)
    assert (seen["queued"], seen["processing"]) == (2, 1)
    assert 90 <= seen["oldest_seconds"] < 100
    assert seen["last_hour"] == {"success": 2, "provider_failed": 1}
    assert seen["paid_today"] == before["paid_today"] + 1
    assert (seen["erasures"], seen["schema_version"]) == (0, 2)


def test_one_that_the_provider_has_taken_does_not_wait(db: Database) -> None:
    user_id = make_user(db)
    waits, taken = (make_session(db, user_id, "processing") for _ in range(2))
    make_claim(db, taken, task_id="t1")
    make_claim(db, waits)
    ages = {taken: 500, waits: 200}
    for session_id, seconds in ages.items():
        db.execute(
            "update try_on_history set created_at = now() - %s * interval '1 s' where id = %s",
            [seconds, session_id],
        )

    assert 200 <= one(db, "select overview()")["oldest_seconds"] < 210


def test_an_hour_ago_is_not_the_last_hour(db: Database) -> None:
    session_id = make_session(db, make_user(db), "processing")
    end(db, session_id, None, "provider_failed")
    db.execute("update session_log set ended_at = now() - interval '61 min'")

    assert one(db, "select overview()")["last_hour"] == {}


def stats(db: Database, days: int) -> dict[str, Any]:
    """The figures of so many days."""
    return dict(one(db, "select stats(%s)", days))


def test_the_figures_of_today(db: Database) -> None:
    user_id, other = make_user(db), make_user(db)
    for seconds, code in ((10, None), (20, None), (30, None), (40, "photo_rejected"), (5, "x")):
        session_id = make_session(db, user_id, "processing")
        end(db, session_id, None if code else result_of(user_id, session_id), code)
        db.execute(
            "update session_log set accepted_at = ended_at - %s * interval '1 s'"
            " where session_id = %s",
            [seconds, session_id],
        )
    make_session(db, other, "queued")
    running = make_session(db, other, "processing")
    db.execute("delete from try_on_history where id = %s", [running])
    make_submit(db, user_id)
    make_submit(db, user_id, outcome="uncertain")
    make_submit(db, user_id, outcome="not_accepted")
    db.execute("update submits set refused = true where outcome = 'not_accepted'")
    free = make_submit(db, user_id)
    db.execute("update submits set charged = false where attempt = %s", [free])

    found = stats(db, 1)

    counted = ("try_ons", "succeeded", "failed", "deleted", "paid_at_most", "uncertain",
               "not_charged", "refused")  # fmt: skip
    assert [found[name] for name in counted] == [7, 3, 2, 1, 2, 1, 1, 1]
    assert (found["p50_seconds"], round(found["p95_seconds"], 1)) == (20, 29)
    assert found["failures"] == {"photo_rejected": 1, "x": 1}
    assert found["top_users"] == [
        {"user_id": str(user_id), "try_ons": 5}, {"user_id": str(other), "try_ons": 2},
    ]  # fmt: skip


def test_a_period_begins_at_midnight_utc(db: Database) -> None:
    session_id = make_session(db, make_user(db), "processing")
    end(db, session_id, None, "provider_failed")
    midnight = "date_trunc('day', now() at time zone 'utc') at time zone 'utc'"
    found = []
    for start in (f"{midnight} - interval '1 s'", midnight, f"{midnight} - interval '6 days'"):
        db.execute(f"update session_log set accepted_at = {start}".encode())
        found.append([stats(db, days)["try_ons"] for days in (1, 7, 30)])

    assert found == [[0, 1, 1], [1, 1, 1], [0, 1, 1]]


def test_without_a_try_on_there_are_figures_too(db: Database) -> None:
    found = stats(db, 30)

    assert (found["try_ons"], found["p50_seconds"]) == (0, None)
    assert (found["failures"], found["top_users"]) == ({}, [])


# -- one session -----------------------------------------------------------------------------


def test_all_that_is_known_of_a_session(db: Database) -> None:
    user_id = make_user(db)
    _, session_id = create(db, user_id, garment_id=make_garment(db))
    assert session_id is not None
    photo = one(db, "select original_user_image_url from try_on_history where id = %s", session_id)
    store(db, photo)
    store(db, photo_of(user_id))
    make_submit(db, user_id, session_id=session_id, task_id="t1")

    known = one(db, "select session_timeline(%s, %s)", session_id, BUCKET)
    nothing = one(db, "select session_timeline(%s, %s)", uuid4(), BUCKET)

    assert known["row"]["id"] == known["log"]["session_id"] == str(session_id)
    assert known["garment"] == "Shirt"
    assert [submit["task_id"] for submit in known["submits"]] == ["t1"]
    assert [stored["path"] for stored in known["objects"]] == [photo]
    assert nothing == {
        "row": None, "garment": None, "log": None, "task": None, "submits": [], "objects": [],
    }  # fmt: skip


# -- objects ---------------------------------------------------------------------------------


def strays(db: Database) -> list[str]:
    """Objects that no row names."""
    return [found["path"] for found in one(db, "select stray_objects(%s)", BUCKET)]


def test_objects_that_no_row_names_are_found(db: Database) -> None:
    user_id = make_user(db)
    session_id = make_session(db, user_id, "success")
    result = result_of(user_id, session_id)
    photo = one(db, "select original_user_image_url from try_on_history")
    db.execute("insert into garments (name, image_url) values ('Shirt', 'garments/shirt.png')")
    erased, lost = photo_of(user_id), photo_of(user_id)
    db.execute("insert into erasures (session_id, path) values (%s, %s)", [uuid4(), erased])
    for path in (
        photo, result, result.replace(".png", "_thumbnail.webp"), "garments/shirt.png",
        "garments/shirt_thumbnail.webp", erased,
    ):  # fmt: skip
        store(db, path)
    store(db, photo_of(user_id), minutes_old=30)
    gone = [lost, f"try-on-results/{user_id}/{uuid4()}_result.png", "garments/old.png"]
    for path in gone:
        store(db, path)

    assert strays(db) == sorted(gone)


@pytest.mark.parametrize(
    ("named", "stored"),
    [
        ("https://p.supabase.co/storage/v1/object/sign/vton-assets/garments/red.png?token=x",
         ["garments/red.png", "garments/red_thumbnail.webp"]),
        ("garments/j.jpg", ["garments/j.jpg", "garments/j.jpg_thumbnail.webp"]),
    ],
)  # fmt: skip
def test_a_garments_picture_is_no_stray_however_it_is_named(
    db: Database, named: str, stored: list[str]
) -> None:
    db.execute("insert into garments (name, image_url) values ('Shirt', %s)", [named])
    missing = one(db, "select missing_objects(%s)", BUCKET)
    for path in stored:
        store(db, path)

    assert strays(db) == []
    assert [found["path"] for found in missing] == stored[:1]
    assert one(db, "select missing_objects(%s)", BUCKET) == []


def test_an_object_that_was_just_replaced_is_no_stray(db: Database) -> None:
    store(db, "garments/hat.png")
    db.execute("update storage.objects set updated_at = now()")

    assert strays(db) == []


def test_rows_whose_object_is_not_there_are_found(db: Database) -> None:
    user_id = make_user(db)
    whole, lost = make_session(db, user_id, "success"), make_session(db, user_id, "success")
    refused, new = make_session(db, user_id, "processing"), make_session(db, user_id, "queued")
    end(db, refused, None, "photo_rejected")
    db.execute(
        "update try_on_history set created_at = now() - interval '1 hour' where id <> %s", [new]
    )
    for path in values(
        db, "select unnest(array[original_user_image_url, result_image_url])"
        " from try_on_history where id = %s", whole,
    ):  # fmt: skip
        store(db, path)
    garment_id = make_garment(db)
    db.execute("insert into garments (name, image_url) values ('Elsewhere', 'https://x.y/a.png')")

    found = one(db, "select missing_objects(%s)", BUCKET)

    assert [(missing["what"], missing["id"]) for missing in found] == [
        ("garment", str(garment_id)), ("photo", str(lost)), ("result", str(lost)),
    ]  # fmt: skip


def test_a_users_objects_and_nobody_elses(db: Database) -> None:
    user_id, other = make_user(db), make_user(db)
    mine = [photo_of(user_id), f"try-on-results/{user_id}/x_result.png"]
    for path in (*mine, photo_of(other), f"garments/{user_id}/x.png"):
        store(db, path)

    found = one(db, "select objects_of_user(%s, %s)", user_id, BUCKET)

    assert found == sorted(mine)


def test_a_user_is_forgotten_and_the_figures_stay(db: Database) -> None:
    user_id, other = make_user(db), make_user(db)
    for whose in (user_id, other):
        _, session_id = create(db, whose, key="k")
        make_submit(db, whose, session_id=session_id)

    db.execute("select forget_user(%s)", [user_id])

    for table in ("submits", "session_log"):
        assert set(values(db, f"select user_id from {table}")) == {NOBODY, other}
    assert values(db, "select user_id from idempotency_keys") == [other]


# -- what is in force ------------------------------------------------------------------------


def test_nothing_is_wrong_with_what_the_migrations_made(db: Database) -> None:
    assert faults(db) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alter table submits disable row level security", "row level security is off for submits"),
        ("grant select on erasures to anon", "anon may do more with erasures"),
        ("grant update on try_on_history to authenticated", "authenticated may do more with"),
        ("grant insert on garments to anon", "anon may do more with garments"),
        ("grant select on try_on_history to anon", "anon may do more with try_on_history"),
        ("create policy mine on try_on_history for select to authenticated using (true)",
         "the policy 'mine' on try_on_history is not ours"),
        ("create policy all_of_them on garments for all to anon using (true)",
         "the policy 'all_of_them' on garments is not ours"),
        ('drop policy "users read their own sessions" on try_on_history',
         "the policy 'users read their own sessions' on try_on_history is missing,"),
        ("alter policy \"users read their own sessions\" on try_on_history using (true)",
         "the policy 'users read their own sessions' on try_on_history is not ours"),
        ("drop policy \"vton only the service removes pictures\" on storage.objects",
         "the policy 'vton only the service removes pictures' on objects is missing,"),
        ("alter table try_on_history disable trigger try_on_history_erasures",
         "the trigger try_on_history_erasures is missing or off"),
        ("drop trigger try_on_history_log on try_on_history",
         "the trigger try_on_history_log is missing or off"),
        ("grant execute on function paid_today(), stats(integer) to authenticated",
         "everybody may call the function stats"),
        ("update storage.buckets set public = true", "the bucket vton-assets is public"),
        ("alter table garments drop constraint garments_image_url_check",
         "the constraint garments_image_url_check is missing"),
        ("grant execute on function under_way(uuid) to anon",
         "everybody may call the function under_way"),
        ("alter function claim_submit(uuid, uuid, bigint) rename to hidden",
         "the function claim_submit is missing"),
        ("drop table pauses", "the table pauses is missing"),
        ("drop table try_on_history cascade", "the table try_on_history is missing"),
        ("grant update (status) on try_on_history to authenticated",
         "authenticated may do more with try_on_history"),
        ("alter policy \"users read their own sessions\" on try_on_history"
         " using (auth.uid() is not null)", "the policy 'users read their own sessions' on"),
        ("drop policy \"vton only the service adds pictures\" on storage.objects;"
         "create policy \"vton only the service adds pictures\" on storage.objects"
         " for insert to anon with check (true)", "the policy 'vton only the service adds pictur"),
        ("alter policy \"vton nobody opens the pictures of others\" on storage.objects"
         " using (true)", "the policy 'vton nobody opens the pictures of others' on objects"),
        ("alter table storage.objects disable row level security",
         "row level security is off for storage.objects"),
    ],
)  # fmt: skip
def test_what_is_not_in_force_is_said(db: Database, change: str, said: str) -> None:
    db.execute(change.encode())

    assert [fault for fault in faults(db) if fault.startswith(said)]


def test_a_bucket_that_is_not_there_is_said(db: Database) -> None:
    assert values(db, "select installation_faults('other')") == ["there is no bucket other"]

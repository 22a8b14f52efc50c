"""What no row of a table can be."""

from uuid import UUID, uuid4

import pytest
from psycopg import errors
from sql.rows import (
    Database,
    claim,
    create,
    make_claim,
    make_garment,
    make_key,
    make_session,
    make_submit,
    make_user,
    one,
    photo_of,
)

NOT_NULL = {
    "garments": ("id", "name", "image_url", "created_at"),
    "try_on_history": ("id", "status", "created_at"),
    "provider_tasks": ("session_id", "attempt"),
    "erasures": ("session_id", "path", "created_at"),
    "submits": ("attempt", "session_id", "user_id", "at", "outcome"),
    "idempotency_keys": ("user_id", "key", "fingerprint", "session_id", "created_at"),
}
RESULT = "'try-on-results/' || user_id || '/' || id || '_result.png'"


def fill(db: Database) -> UUID:
    """One row in each table; the session's id."""
    user_id = make_user(db)
    make_garment(db)
    make_key(db, user_id)
    claim(db, make_session(db, user_id))
    db.execute("insert into erasures (session_id, path) values (%s, 'x')", [uuid4()])
    session_id: UUID = one(db, "select id from try_on_history")
    return session_id


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table in NOT_NULL for column in NOT_NULL[table]]
)
def test_what_must_be_known(db: Database, table: str, column: str) -> None:
    fill(db)

    with pytest.raises(errors.NotNullViolation), db.transaction():
        db.execute(f"update {table} set {column} = null".encode())


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("user_id = null", "has_owner_and_photo"),
        ("original_user_image_url = null", "has_owner_and_photo"),
        ("status = 'done'", "status"),
        ("status = ''", "status"),
        ("status = 'success'", "success_has_result"),
        (f"result_image_url = {RESULT}", "success_has_result"),
        (
            f"status = 'failed', result_image_url = {RESULT},"
            " error_message = 'x', error_code = 'y'",
            "success_has_result",
        ),
        ("status = 'failed'", "failed_has_message"),
        ("status = 'failed', error_message = 'x'", "failed_has_message"),
        ("status = 'failed', error_code = 'y'", "failed_has_message"),
        ("error_message = 'x', error_code = 'y'", "failed_has_message"),
        ("original_user_image_url = 'user-uploads/x/1_original.jpg'", "photo_is_owners"),
        ("original_user_image_url = 'garments/' || user_id || '/1.jpg'", "photo_is_owners"),
        ("original_user_image_url = 'user-uploads/' || user_id || '1.jpg'", "photo_is_owners"),
        ("original_user_image_url = ' user-uploads/' || user_id || '/1.jpg'", "photo_is_owners"),
        ("status = 'success', result_image_url = 'x/' || id || '_result.png'", "result_is_owners"),
        (
            "status = 'success', result_image_url = 'try-on-results/' || user_id || '/x.png'",
            "result_is_owners",
        ),
    ],
)
def test_wrong_sessions(db: Database, change: str, constraint: str) -> None:
    fill(db)

    with pytest.raises(errors.CheckViolation, match=constraint), db.transaction():
        db.execute(f"update try_on_history set {change}".encode())


@pytest.mark.parametrize("status", ["queued", "processing", "success", "failed"])
def test_right_sessions(db: Database, status: str) -> None:
    make_session(db, status=status)

    assert one(db, "select status from try_on_history") == status


def test_nobody_gives_their_session_to_another(db: Database) -> None:
    fill(db)

    with pytest.raises(errors.CheckViolation, match="photo_is_owners"), db.transaction():
        db.execute("update try_on_history set user_id = %s", [make_user(db)])


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("update garments set name = ''", "garments_name"),
        ("update provider_tasks set provider = 'pixazo'", "provider_has_task"),
        ("update provider_tasks set task_id = 't'", "provider_has_task"),
        ("update provider_tasks set status_url = 'https://x.example'", "status_url_needs_task"),
        ("update submits set outcome = 'lost'", "outcome"),
        ("update submits set outcome = 'accepted'", "task_if_accepted"),
        ("update submits set provider = 'pixazo', task_id = 't'", "task_if_accepted"),
        ("update submits set provider = 'pixazo'", "provider_has_task"),
        ("update submits set outcome = 'accepted', task_id = 't'", "provider_has_task"),
        ("update idempotency_keys set key = ''", "key"),
        ("update idempotency_keys set key = repeat('x', 201)", "key"),
    ],
)
def test_wrong_rows(db: Database, statement: str, constraint: str) -> None:
    fill(db)

    with pytest.raises(errors.CheckViolation, match=constraint), db.transaction():
        db.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "update garments set brand = null, category = null",
        "update provider_tasks set provider = 'pixazo', task_id = 't'",
        "update provider_tasks set provider = 'p', task_id = 't', status_url = 'https://x.example'",
        "update submits set outcome = 'not_accepted'",
        "update submits set outcome = 'uncertain'",
        "update submits set outcome = 'accepted', provider = 'pixazo', task_id = 't'",
        "update idempotency_keys set key = 'x'",
        "update idempotency_keys set key = repeat('x', 200)",
    ],
)
def test_right_rows(db: Database, statement: str) -> None:
    fill(db)

    assert db.execute(statement.encode()).rowcount == 1


# -- once only -------------------------------------------------------------------------------------


def test_a_session_has_one_claim(db: Database) -> None:
    session_id = fill(db)

    with pytest.raises(errors.UniqueViolation, match="provider_tasks"), db.transaction():
        make_claim(db, session_id)


def test_an_attempt_is_in_the_ledger_once(db: Database) -> None:
    attempt = make_submit(db)

    with pytest.raises(errors.UniqueViolation, match="submits"), db.transaction():
        claim(db, make_session(db), attempt)


def test_a_user_has_a_key_once(db: Database) -> None:
    user_id = make_user(db)
    make_key(db, user_id)

    with pytest.raises(errors.UniqueViolation, match="idempotency_keys"), db.transaction():
        make_key(db, user_id)


def test_an_erasure_has_a_number_of_its_own(db: Database) -> None:
    fill(db)

    with pytest.raises(errors.UniqueViolation, match="erasures"), db.transaction():
        db.execute(
            "insert into erasures (id, session_id, path) overriding system value"
            " select id, session_id, path from erasures"
        )


# -- what must be there ----------------------------------------------------------------------------


def test_a_claim_is_of_a_session(db: Database) -> None:
    with pytest.raises(errors.ForeignKeyViolation, match="session_id"), db.transaction():
        make_claim(db, uuid4())


def test_a_key_is_of_a_user(db: Database) -> None:
    with pytest.raises(errors.ForeignKeyViolation, match="user_id"), db.transaction():
        make_key(db, uuid4())


# -- what a row begins with ------------------------------------------------------------------------


def test_what_is_not_said_is_filled_in(db: Database) -> None:
    user_id = make_user(db)
    make_garment(db)
    create(db, user_id, key="k")
    query = "insert into try_on_history (user_id, original_user_image_url) values (%s, %s)"
    db.execute(query, [user_id, photo_of(user_id)])  # without an id, which is made up
    db.execute("insert into erasures (session_id, path) values (%s, 'x')", [uuid4()])

    for table in ("garments", "try_on_history", "idempotency_keys", "erasures"):
        assert one(db, f"select bool_and(created_at = now()) from {table}"), table
    assert one(db, "select bool_and(status = 'queued') from try_on_history")


def test_a_result_is_one_of_three_kinds(db: Database) -> None:
    fill(db)

    for kind in ("new", "photo", "blank", None):
        db.execute("update submits set result_kind = %s", [kind])
    with pytest.raises(errors.CheckViolation), db.transaction():
        db.execute("update submits set result_kind = 'other'")


@pytest.mark.parametrize(
    "picture",
    [
        "garments/shirt.png",
        "garments/summer/rote Bluse (neu).png",
        "garments/..hidden.png",
        "https://shop.example",
        "https://shop.example/a.png?size=large&x=a@b#top",
        "https://shop.example:8443/a.png",
        "https://shop.example/" + "a" * 1979,
    ],
)
def test_a_garments_picture_is_in_its_folder_or_elsewhere(db: Database, picture: str) -> None:
    make_garment(db)

    db.execute("update garments set image_url = %s", [picture])


@pytest.mark.parametrize(
    "picture",
    [
        "",
        "garments/",
        "garments",
        "shirt.png",
        "user-uploads/somebody/1_original.jpg",
        "/user-uploads/somebody/1_original.jpg",
        "try-on-results/somebody/x_result.png",
        "garments/../user-uploads/somebody/1_original.jpg",
        "garments/./x.png",
        "garments/x/..",
        "garments/a\nb.png",
        "xgarments/a.png",
        "http://shop.example/a.png",
        "https://",
        "https:///a.png",
        "https://user:password@shop.example/a.png",
        "https://user@shop.example",
        "https://shop.example\\@evil.example/",
        "https://shop.example/a b.png",
        "https://shop.example/a\tb.png",
        "https://shop .example/",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "https://shop.example/" + "a" * 1980,
    ],
)
def test_a_garments_picture_is_nothing_else(db: Database, picture: str) -> None:
    """The public API signs what it names."""
    make_garment(db)

    with pytest.raises(errors.CheckViolation, match="garments_image_url"), db.transaction():
        db.execute("update garments set image_url = %s", [picture])

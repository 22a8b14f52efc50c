"""Of the policies that people made, those that open our tables go, and all others stay."""

from collections.abc import Callable

from sql.rows import Database, values

BESIDES = """
create schema other;
create table other.garments (id int);
create table other.objects (id int);
create table mine (id int);
create policy "elsewhere" on other.garments for insert with check (true);
create policy "elsewhere" on other.objects using (true);
create policy "mine" on mine for insert with check (true);
create policy "their garments" on garments for select using (name <> 'x');
create policy "forged garments" on garments for insert to anon with check (true);
create policy "see all" on try_on_history for select to authenticated using (true);
create policy "staff" on try_on_history for all to service_role using (true);
insert into storage.buckets (id, name, public) values ('avatars', 'avatars', true);
create policy "buckets" on storage.buckets using (true);
create policy "avatars" on storage.objects for select using (bucket_id = 'avatars');
create policy "reads" on storage.objects for select using (bucket_id = 'vton-assets');
create policy "uploads" on storage.objects for insert with check (bucket_id = 'vton-assets');
create policy "all of them" on storage.objects for select to authenticated using (true);
create policy "vton all" on storage.objects for select to anon using (true);
create policy "all uploads" on storage.objects for insert to anon with check (true);
create policy "all changes" on storage.objects for update using (true) with check (true);
create policy "two" on storage.objects for delete using (bucket_id in ('avatars', 'vton-assets'));
create policy "or" on storage.objects for select
  using (bucket_id = 'vton-assets' or owner_id is not null);
create policy "of the service" on storage.objects to service_role using (bucket_id = 'vton-assets');
create policy "none" on storage.objects as restrictive using (bucket_id = 'vton-assets' and false);
"""
"""Policies on what is ours, and on what is not."""

CONDITIONS = "select policyname, qual, with_check from pg_policies"
ON_OBJECTS = f"{CONDITIONS} where schemaname = 'storage' and tablename = 'objects'"


def test_policies_that_let_users_forge_or_see_others_go_and_others_stay(
    theirs: Database, adopt: Callable[[], None]
) -> None:
    theirs.execute(BESIDES)

    adopt()

    query = (
        "select schemaname, tablename, policyname from pg_policies where schemaname <> 'storage'"
    )
    assert set(values(theirs, query)) == {
        ("other", "garments", "elsewhere"),
        ("other", "objects", "elsewhere"),
        ("public", "mine", "mine"),
        ("public", "garments", "their garments"),
        ("public", "garments", "garments are readable by everyone"),
        ("public", "try_on_history", "staff"),
        ("public", "try_on_history", "users read their own sessions"),
    }


def test_policies_on_objects_stay_and_cannot_open_the_bucket(
    theirs: Database, adopt: Callable[[], None]
) -> None:
    """What nobody may do stands beside them and cannot be overruled, see test_bucket.py."""
    theirs.execute(BESIDES)
    before = set(values(theirs, ON_OBJECTS))

    adopt()

    assert set(values(theirs, ON_OBJECTS)) >= before
    assert values(theirs, "select id, public from storage.buckets order by id") == [
        ("avatars", True),
        ("vton-assets", False),
    ]


def test_policies_of_other_buckets_stay_when_the_migrations_are_applied_again(
    theirs: Database, adopt: Callable[[], None]
) -> None:
    theirs.execute(BESIDES)
    adopt()
    once = values(theirs, ON_OBJECTS)

    adopt()

    assert values(theirs, ON_OBJECTS) == once

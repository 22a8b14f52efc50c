-- What one user may start, and what a repeated request finds.

-- The keys that clients sent with a new try-on, for a day, or one of ours where they sent none: by its
-- fingerprint, of photo and garment, a second tap is found. No foreign key to the session: a key
-- outlives its deletion, so that a late repetition starts and pays nothing.
create table if not exists public.idempotency_keys (
  user_id uuid not null references auth.users (id) on delete cascade,
  key text not null check (length(key) between 1 and 200),
  fingerprint text not null,
  session_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (user_id, key)
);
create index if not exists idempotency_keys_session_idx on public.idempotency_keys (session_id);
create index if not exists idempotency_keys_created_idx on public.idempotency_keys (created_at);

alter table public.idempotency_keys enable row level security;
revoke all on public.idempotency_keys from anon, authenticated;
grant all on public.idempotency_keys to service_role;

-- How many of today's try-ons (UTC) of a user count: those that were submitted, deleted or not, and
-- those that will be.
create or replace function public.tried_today(p_user_id uuid) returns bigint
language sql stable set search_path = '' as $$
  select
    (select count(distinct session_id) from public.submits
     where user_id = p_user_id and outcome <> 'not_accepted'
       and at >= date_trunc('day', now() at time zone 'utc') at time zone 'utc')
    +
    (select count(*) from public.try_on_history h
     where h.user_id = p_user_id and h.status in ('queued', 'processing')
       and not exists (
         select from public.submits s
         where s.session_id = h.id and s.outcome <> 'not_accepted'))
$$;

-- How many of today's try-ons (UTC) of a user were refused for their photo, before anybody was paid.
create or replace function public.refused_today(p_user_id uuid) returns bigint
language sql stable set search_path = '' as $$
  select count(distinct session_id) from public.submits
  where user_id = p_user_id and refused
    and at >= date_trunc('day', now() at time zone 'utc') at time zone 'utc'
$$;

-- How many try-ons of a user are under way: those that have not ended, and those that they deleted in
-- the last minutes, on which the provider may be working still.
create or replace function public.under_way(p_user_id uuid) returns bigint
language sql stable set search_path = '' as $$
  select
    (select count(*) from public.try_on_history h
     where h.user_id = p_user_id and h.status in ('queued', 'processing'))
    +
    (select count(distinct session_id) from public.submits
     where user_id = p_user_id and outcome <> 'not_accepted' and charged is not false
       and abandoned_at > now() - interval '5 minutes')
$$;

-- Why a session is not created now, within all limits (0 switches one off); no row where it would be:
--   replay    this key has started a session, or the same photo and garment are under way: its id
--   mismatch  this key has started a session, by another request
--   busy      too many sessions of all users wait
--   unfinished, quota   this user has too many under way, or today; refused ones count by themselves,
--             twice as many
--   paid_cap  the day's paid calls are used up
-- Raises foreign_key_violation for an unknown garment.
create or replace function public.admission(
  p_user_id uuid, p_garment_id uuid, p_idempotency_key text, p_fingerprint text,
  p_max_unfinished bigint, p_max_per_day bigint, p_max_waiting bigint, p_paid_cap bigint
) returns table (result text, session_id uuid)
language plpgsql stable set search_path = '' as $$
declare
  earlier public.idempotency_keys;
  twin uuid;
begin
  select * into earlier from public.idempotency_keys k
  where k.user_id = p_user_id and k.key = p_idempotency_key
    and k.created_at >= now() - interval '24 hours';
  select k.session_id into twin
  from public.idempotency_keys k join public.try_on_history h on h.id = k.session_id
  where k.user_id = p_user_id and k.fingerprint = p_fingerprint
    and h.status in ('queued', 'processing') and k.created_at >= now() - interval '24 hours'
  limit 1;
  if earlier.key is not null then
    return query select
      case when earlier.fingerprint = p_fingerprint then 'replay' else 'mismatch' end,
      earlier.session_id;
  elsif twin is not null then
    return query select 'replay'::text, twin;
  elsif p_paid_cap > 0 and public.paid_today() >= p_paid_cap then
    return query select 'paid_cap'::text, null::uuid;
  elsif p_max_waiting > 0 and p_max_waiting <= (
    select count(*) from public.try_on_history h where h.status = 'queued') then
    return query select 'busy'::text, null::uuid;
  elsif p_max_unfinished > 0 and public.under_way(p_user_id) >= p_max_unfinished then
    return query select 'unfinished'::text, null::uuid;
  elsif p_max_per_day > 0 and (
    public.tried_today(p_user_id) >= p_max_per_day
    or public.refused_today(p_user_id) >= 2 * p_max_per_day) then
    return query select 'quota'::text, null::uuid;
  elsif p_garment_id is not null
    and not exists (select from public.garments g where g.id = p_garment_id) then
    raise foreign_key_violation using message = 'there is no garment of this garment_id',
      constraint = 'try_on_history_garment_id_fkey';
  end if;
end $$;

-- Insert a queued session. Answers `created` and its id, or what `admission` does.
-- Raises foreign_key_violation, naming the column, for an unknown garment or user, and
-- unique_violation where another session has a photo of that name.
create or replace function public.create_session(
  p_id uuid, p_user_id uuid, p_garment_id uuid, p_photo text,
  p_idempotency_key text, p_fingerprint text,
  p_max_unfinished bigint, p_max_per_day bigint, p_max_waiting bigint, p_paid_cap bigint
) returns table (result text, session_id uuid)
language plpgsql set search_path = '' as $$
begin
  -- One at a time for a user, so that the limits are exact and a key is taken once.
  perform pg_advisory_xact_lock(hashtextextended('vton.user.' || p_user_id, 0));
  select * into result, session_id from public.admission(
    p_user_id, p_garment_id, p_idempotency_key, p_fingerprint,
    p_max_unfinished, p_max_per_day, p_max_waiting, p_paid_cap);
  if result is null then
    if exists (select from public.try_on_history h where h.original_user_image_url = p_photo) then
      raise unique_violation using message = 'there is a session with this photo';
    end if;
    result := 'created';
    session_id := p_id;
    insert into public.try_on_history (id, user_id, garment_id, original_user_image_url)
    values (p_id, p_user_id, p_garment_id, p_photo);
  end if;
  -- A key that a twin was found by is its, too; one that is out of date begins anew.
  if result = 'created' or result = 'replay' and p_idempotency_key is not null then
    insert into public.idempotency_keys as k (user_id, key, fingerprint, session_id)
    values (p_user_id, coalesce(p_idempotency_key, p_id::text), p_fingerprint,
            create_session.session_id)
    on conflict (user_id, key) do update
    set fingerprint = excluded.fingerprint, session_id = excluded.session_id, created_at = now()
    where k.created_at < now() - interval '24 hours';
  end if;
  return next;
end $$;

drop function if exists public.undo_session(uuid);  -- it returned nothing once
-- Take back a session that was begun and could not be taken: its row and its keys. Not while its user
-- creates one, who would find a key of it. False, and it stays, if it was submitted: that may be paid.
create or replace function public.undo_session(p_id uuid) returns boolean
language plpgsql set search_path = '' as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('vton.user.' || k.user_id, 0))
  from public.idempotency_keys k where k.session_id = p_id limit 1;
  perform from public.try_on_history where id = p_id for update;  -- as a claim does
  if exists (select from public.submits s where s.session_id = p_id and s.outcome <> 'not_accepted')
    and exists (select from public.try_on_history where id = p_id)
  then
    return false;
  end if;
  delete from public.idempotency_keys where session_id = p_id;
  delete from public.try_on_history where id = p_id;
  return true;
end $$;

revoke execute on function
  public.tried_today(uuid),
  public.refused_today(uuid),
  public.under_way(uuid),
  public.admission(uuid, uuid, text, text, bigint, bigint, bigint, bigint),
  public.create_session(uuid, uuid, uuid, text, text, text, bigint, bigint, bigint, bigint),
  public.undo_session(uuid)
from public, anon, authenticated;
grant execute on function
  public.tried_today(uuid),
  public.refused_today(uuid),
  public.under_way(uuid),
  public.admission(uuid, uuid, text, text, bigint, bigint, bigint, bigint),
  public.create_session(uuid, uuid, uuid, text, text, text, bigint, bigint, bigint, bigint),
  public.undo_session(uuid)
to service_role;

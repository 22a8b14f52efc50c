-- What the operator's side needs: the time, pauses, and when which session began and ended. Everything
-- here is the service's alone.

-- Seconds since 1970: deadlines are judged by the database's clock.
create or replace function public.database_time() returns double precision
language sql volatile set search_path = '' as
$$ select extract(epoch from clock_timestamp())::double precision $$;

-- While there is a row whose time is not up, no new try-on is taken; those under way end.
create table if not exists public.pauses (
  one boolean primary key default true check (one), -- there is one at most
  since timestamptz not null default now(),
  until timestamptz,                                -- null: until it is resumed
  message text check (length(message) <= 300)       -- the operator's own words for shoppers
);

-- When a session was accepted, claimed and ended, and how. It outlives the session for
-- 90 days, without photos; figures of the last weeks are made of it.
create table if not exists public.session_log (
  session_id uuid primary key,
  user_id uuid not null,
  accepted_at timestamptz not null default now(),
  claimed_at timestamptz,                           -- by its first run
  ended_at timestamptz,
  outcome text,                                     -- success, deleted, or the code of a failure
  looks integer not null default 0                  -- how often the run that ended it asked the provider
);
create index if not exists session_log_accepted_idx on public.session_log (accepted_at desc);
create index if not exists session_log_ended_idx on public.session_log (ended_at);

create or replace function public.log_session() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    insert into public.session_log (session_id, user_id) values (new.id, new.user_id)
    on conflict do nothing;
  elsif tg_op = 'DELETE' then
    -- One that was undone, with its keys, was never accepted.
    delete from public.session_log l
    where l.session_id = old.id and l.claimed_at is null and old.status = 'queued'
      and not exists (select from public.idempotency_keys k where k.session_id = old.id);
    update public.session_log set ended_at = now(), outcome = 'deleted'
    where session_id = old.id and ended_at is null;
  elsif new.status = 'processing' then
    update public.session_log set claimed_at = now()
    where session_id = new.id and claimed_at is null;
  else
    update public.session_log
    set ended_at = now(), outcome = coalesce(new.error_code, new.status)
    where session_id = new.id and new.status in ('success', 'failed');
  end if;
  return null;
end $$;
create or replace trigger try_on_history_log
  after insert or delete or update of status on public.try_on_history
  for each row execute function public.log_session();

-- End an unfinished session: with its result, or with why it failed. False if there is none.
create or replace function public.end_session(
  p_id uuid, p_result text, p_error_code text, p_error_message text, p_looks integer
) returns boolean
language plpgsql set search_path = '' as $$
begin
  update public.try_on_history
  set status = case when p_error_code is null then 'success' else 'failed' end,
      result_image_url = p_result, error_code = p_error_code, error_message = p_error_message
  where id = p_id and status in ('queued', 'processing');
  if not found then
    return false;
  end if;
  update public.session_log set looks = p_looks where session_id = p_id and p_looks > 0;
  return true;
end $$;

alter table public.pauses enable row level security;
alter table public.session_log enable row level security;
revoke all on public.pauses, public.session_log from anon, authenticated;
grant all on public.pauses, public.session_log to service_role;
revoke execute on function
  public.database_time(),
  public.log_session(),
  public.end_session(uuid, text, text, text, integer)
from public, anon, authenticated;
grant execute on function
  public.database_time(),
  public.end_session(uuid, text, text, text, integer)
to service_role;

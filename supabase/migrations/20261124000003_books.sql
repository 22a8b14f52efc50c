-- The books: every submit to the provider, which is a paid call, and who may make one.

-- No foreign keys and no photo data: the books outlive every delete, and every cap and quota is
-- counted from them.
create table public.submits (
  attempt uuid primary key,        -- made up by the run that submits
  session_id uuid not null,
  user_id uuid not null,
  at timestamptz not null default now(),
  outcome text not null default 'open'
    check (outcome in ('open', 'accepted', 'not_accepted', 'uncertain')),
  task_id text,
  -- The vendor documents that a task that ends ERROR is not charged; null: it does not say.
  charged boolean,
  constraint submits_task_if_accepted check ((outcome = 'accepted') = (task_id is not null))
);
create index submits_session_idx on public.submits (session_id);
create index submits_user_idx on public.submits (user_id, at);
-- What counts against the day's cap: everything but what was provably not accepted.
create index submits_paid_idx on public.submits (at) where outcome <> 'not_accepted';

alter table public.submits enable row level security;
revoke all on public.submits from anon, authenticated;
grant all on public.submits to service_role;

-- The ticket of a session: the attempt that may be submitting now. Whoever wants to submit and
-- finds another's ticket must not.
alter table public.try_on_history add column submit_attempt uuid;
create index try_on_history_created_idx on public.try_on_history (created_at);

-- When an erasure's objects were removed for the first time; they are removed once more later.
alter table public.erasures add column erased_at timestamptz;

-- How many submits of today (UTC) may have been charged.
create function public.paid_today() returns bigint
language sql stable set search_path = '' as $$
  select count(*) from public.submits
  where outcome <> 'not_accepted'
    and at >= date_trunc('day', now() at time zone 'utc') at time zone 'utc'
$$;

-- Insert a queued session. `p_paid_cap` is the day's cap of paid calls, 0 for none.
-- Raises PT503 'paid_cap' when it is reached, and foreign_key_violation or unique_violation,
-- naming the constraint, for an unknown garment or user or a photo's name that is taken.
create function public.create_session(
  p_id uuid, p_user_id uuid, p_garment_id uuid, p_photo text, p_paid_cap bigint
) returns void
language plpgsql set search_path = '' as $$
begin
  if p_paid_cap > 0 and public.paid_today() >= p_paid_cap then
    raise exception 'paid_cap' using errcode = 'PT503';
  end if;
  insert into public.try_on_history (id, user_id, garment_id, original_user_image_url)
  values (p_id, p_user_id, p_garment_id, p_photo);
end $$;

-- Ask to submit a session once. Answers
--   taken     submit now; asking again with the same attempt answers the same
--   held      another attempt has the ticket; `age` says for how many seconds
--   task      it was submitted and accepted: there is a task to look at
--   capped    the day's paid calls are used up
--   ended     the session is not processing any more, or gone
create function public.take_ticket(p_session_id uuid, p_attempt uuid, p_paid_cap bigint)
returns table (answer text, age double precision)
language plpgsql set search_path = '' as $$
declare
  session public.try_on_history;
begin
  if p_paid_cap > 0 then
    -- One at a time, so that the cap is exact however many ask at once.
    perform pg_advisory_xact_lock(hashtext('vton.paid_cap'));
  end if;
  select * into session from public.try_on_history where id = p_session_id for update;
  if session.status is distinct from 'processing' then
    return query select 'ended'::text, 0::double precision;
  elsif session.provider_task_id is not null then
    return query select 'task'::text, 0::double precision;
  elsif session.submit_attempt is not null then
    return query
      select case when s.attempt = p_attempt then 'taken' else 'held' end,
             extract(epoch from clock_timestamp() - s.at)::double precision
      from public.submits s where s.attempt = session.submit_attempt;
  elsif p_paid_cap > 0 and public.paid_today() >= p_paid_cap then
    return query select 'capped'::text, 0::double precision;
  else
    insert into public.submits (attempt, session_id, user_id)
    values (p_attempt, p_session_id, session.user_id);
    update public.try_on_history set submit_attempt = p_attempt where id = p_session_id;
    return query select 'taken'::text, 0::double precision;
  end if;
end $$;

-- Write down what became of an attempt. An accepted one gives its session the task, unless it has
-- one; one that was not accepted gives the ticket back. May be repeated.
create function public.settle_submit(
  p_attempt uuid, p_outcome text, p_task_id text default null, p_status_url text default null
) returns void
language plpgsql set search_path = '' as $$
declare
  settled public.submits;
begin
  update public.submits set outcome = p_outcome, task_id = p_task_id
  where attempt = p_attempt and outcome in ('open', 'uncertain') returning * into settled;
  if settled.attempt is null then
    return;
  end if;
  if p_outcome = 'accepted' then
    update public.try_on_history
    set provider_task_id = p_task_id, provider_status_url = p_status_url
    where id = settled.session_id and provider_task_id is null;
  elsif p_outcome = 'not_accepted' then
    update public.try_on_history set submit_attempt = null
    where id = settled.session_id and submit_attempt = p_attempt;
  end if;
end $$;

-- A task ended ERROR, which the vendor documents as not charged. True if the session may be, or
-- has been, submitted once more for it: once for a session. May be repeated, and asked by two runs.
create function public.forgive_error(p_session_id uuid, p_task_id text) returns boolean
language plpgsql set search_path = '' as $$
begin
  update public.submits set charged = false
  where session_id = p_session_id and task_id = p_task_id and charged is null;
  if (select count(*) from public.submits
      where session_id = p_session_id and charged is false) > 1 then
    return false;
  end if;
  update public.try_on_history
  set provider_task_id = null, provider_status_url = null, submit_attempt = null
  where id = p_session_id and provider_task_id = p_task_id and status = 'processing';
  return exists (
    select from public.try_on_history h
    where h.id = p_session_id and h.status = 'processing'
      and h.provider_task_id is distinct from p_task_id);
end $$;

revoke execute on function
  public.paid_today(),
  public.create_session(uuid, uuid, uuid, text, bigint),
  public.take_ticket(uuid, uuid, bigint),
  public.settle_submit(uuid, text, text, text),
  public.forgive_error(uuid, text)
from public, anon, authenticated;
grant execute on function
  public.paid_today(),
  public.create_session(uuid, uuid, uuid, text, bigint),
  public.take_ticket(uuid, uuid, bigint),
  public.settle_submit(uuid, text, text, text),
  public.forgive_error(uuid, text)
to service_role;

-- A session that was submitted and then failed may still have its result stored by a run that was
-- slower than the failure; note it for erasure.
create function public.record_failed_result() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.erasures (session_id, path)
  values (new.id, 'try-on-results/' || new.user_id || '/' || new.id || '_result.png');
  return null;
end $$;
create trigger try_on_history_failed_result after update of status on public.try_on_history
  for each row when (new.status = 'failed' and new.submit_attempt is not null)
  execute function public.record_failed_result();
revoke execute on function public.record_failed_result() from public, anon, authenticated;

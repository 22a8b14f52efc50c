-- The ledger: every submit to a provider, which is a paid call, and who may make one.

-- No foreign keys and no photo data: the ledger outlives every delete, and every cap and quota is
-- counted from it.
create table if not exists public.submits (
  attempt uuid primary key,        -- made up by the run that submits
  session_id uuid not null,
  user_id uuid not null,
  at timestamptz not null default now(),
  outcome text not null default 'open'
    check (outcome in ('open', 'accepted', 'not_accepted', 'uncertain')),
  provider text,                   -- who took the task
  task_id text,
  -- Providers document failures that are not charged; null: they do not say.
  charged boolean,
  -- Not accepted because of what it shows, or in words of money, which may mean the same: it counts
  -- against its user.
  refused boolean default false,
  -- When its session was deleted unfinished: the provider may be working on it still.
  abandoned_at timestamptz,
  -- What the result was found to be; null: nobody looked.
  result_kind text check (result_kind in ('new', 'photo', 'blank')),
  constraint submits_task_if_accepted check ((outcome = 'accepted') = (task_id is not null)),
  constraint submits_provider_has_task check ((provider is null) = (task_id is null))
);
create index if not exists submits_session_idx on public.submits (session_id);
create index if not exists submits_user_idx on public.submits (user_id, at);
-- What counts against the day's cap: everything but what was provably not accepted.
create index if not exists submits_paid_idx on public.submits (at) where outcome <> 'not_accepted';
-- Submits without an outcome; the ledger only grows.
create index if not exists submits_open_idx on public.submits (at) where outcome = 'open';

alter table public.submits enable row level security;
revoke all on public.submits from anon, authenticated;
grant all on public.submits to service_role;

-- How many submits of today (UTC) may have been charged: not one that its provider documents as free.
create or replace function public.paid_today() returns bigint
language sql stable set search_path = '' as $$
  select count(*) from public.submits
  where outcome <> 'not_accepted' and charged is not false
    and at >= date_trunc('day', now() at time zone 'utc') at time zone 'utc'
$$;

-- Claim the right to submit a session once. Answers
--   claimed   submit now; asking again with the same attempt answers the same
--   held      another attempt has the claim; `age` says for how many seconds
--   task      it was submitted and accepted: there is a task
--   capped    the day's paid calls are used up
--   ended     the session is not processing any more, or gone
create or replace function public.claim_submit(p_session_id uuid, p_attempt uuid, p_paid_cap bigint)
returns table (result text, age double precision)
language plpgsql set search_path = '' as $$
declare
  session public.try_on_history;
  claim public.provider_tasks;
begin
  if p_paid_cap > 0 then
    -- One at a time, so that the cap is exact however many ask at once.
    perform pg_advisory_xact_lock(hashtext('vton.paid_cap'));
  end if;
  select * into session from public.try_on_history where id = p_session_id for update;
  select * into claim from public.provider_tasks t where t.session_id = p_session_id;
  if session.status is distinct from 'processing' then
    return query select 'ended'::text, 0::double precision;
  elsif claim.task_id is not null then
    return query select 'task'::text, 0::double precision;
  elsif claim.attempt is not null then
    return query
      select case when s.attempt = p_attempt then 'claimed' else 'held' end,
             extract(epoch from clock_timestamp() - s.at)::double precision
      from public.submits s where s.attempt = claim.attempt;
  elsif p_paid_cap > 0 and public.paid_today() >= p_paid_cap then
    return query select 'capped'::text, 0::double precision;
  else
    insert into public.submits (attempt, session_id, user_id)
    values (p_attempt, p_session_id, session.user_id);
    insert into public.provider_tasks (session_id, attempt) values (p_session_id, p_attempt);
    return query select 'claimed'::text, 0::double precision;
  end if;
end $$;

-- Record what became of an attempt. An accepted one gives its session the task, unless it has
-- one; one that was not accepted, or `refused` for its picture, gives its claim up. May be repeated.
create or replace function public.record_outcome(
  p_attempt uuid, p_outcome text,
  p_provider text default null, p_task_id text default null, p_status_url text default null
) returns void
language plpgsql set search_path = '' as $$
declare
  recorded public.submits;
begin
  update public.submits
  set outcome = case p_outcome when 'refused' then 'not_accepted' else p_outcome end,
      refused = p_outcome = 'refused', provider = p_provider, task_id = p_task_id
  where attempt = p_attempt and outcome in ('open', 'uncertain') returning * into recorded;
  if recorded.attempt is null then
    return;
  end if;
  if p_outcome = 'accepted' then
    update public.provider_tasks
    set provider = p_provider, task_id = p_task_id, status_url = p_status_url
    where session_id = recorded.session_id and task_id is null;
  elsif recorded.outcome = 'not_accepted' then
    delete from public.provider_tasks
    where session_id = recorded.session_id and attempt = p_attempt;
  end if;
end $$;

-- A task failed in a way that its provider documents as not charged. True if the session may be, or
-- has been, submitted once more for it: once for a session. May be repeated, and asked by two runs.
create or replace function public.allow_one_resubmit(p_session_id uuid, p_task_id text) returns boolean
language plpgsql set search_path = '' as $$
begin
  update public.submits set charged = false
  where session_id = p_session_id and task_id = p_task_id and charged is null;
  if (select count(*) from public.submits
      where session_id = p_session_id and charged is false) > 1 then
    return false;
  end if;
  delete from public.provider_tasks t
  using public.try_on_history h
  where t.session_id = p_session_id and t.task_id = p_task_id
    and h.id = p_session_id and h.status = 'processing';
  return exists (
    select from public.try_on_history h
    where h.id = p_session_id and h.status = 'processing')
    and not exists (
      select from public.provider_tasks t
      where t.session_id = p_session_id and t.task_id = p_task_id);
end $$;

revoke execute on function
  public.paid_today(),
  public.claim_submit(uuid, uuid, bigint),
  public.record_outcome(uuid, text, text, text, text),
  public.allow_one_resubmit(uuid, text)
from public, anon, authenticated;
grant execute on function
  public.paid_today(),
  public.claim_submit(uuid, uuid, bigint),
  public.record_outcome(uuid, text, text, text, text),
  public.allow_one_resubmit(uuid, text)
to service_role;

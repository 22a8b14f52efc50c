-- What the operator is told: how it is going, what became of a session, whether all is in force.
-- Everything here is the service's alone.

-- How it is going now, and went in the last hour.
create or replace function public.overview() returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object(
    'queued', count(*) filter (where h.status = 'queued'),
    'processing', count(*) filter (where h.status = 'processing'),
    'oldest_seconds', coalesce(extract(epoch from now() - min(h.created_at) filter (
      -- It waits for a worker, or for the provider to take it.
      where not exists (select from public.provider_tasks t
        where t.session_id = h.id and t.task_id is not null))), 0),
    'paid_today', public.paid_today(),
    'last_hour', (
      select coalesce(jsonb_object_agg(o.outcome, o.number), '{}') from (
        select l.outcome, count(*) as number from public.session_log l
        where l.ended_at > now() - interval '1 hour' group by l.outcome) o),
    'erasures', (select count(*) from public.erasures where erased_at is null),
    'schema_version', public.schema_version(),
    'postgres', current_setting('server_version'))
  from public.try_on_history h where h.status in ('queued', 'processing')
$$;

-- The figures of the last so many days (UTC), today among them.
create or replace function public.stats(p_days integer) returns jsonb
language sql stable set search_path = '' as $$
  with period as (
    select (date_trunc('day', now() at time zone 'utc') at time zone 'utc')
      - (p_days - 1) * interval '1 day' as since),
  tried as materialized (
    select l.user_id, l.outcome, extract(epoch from l.ended_at - l.accepted_at) as seconds
    from public.session_log l, period where l.accepted_at >= period.since),
  paid as materialized (
    select s.outcome, s.charged from public.submits s, period
    where s.outcome <> 'not_accepted' and s.at >= period.since),
  ended as (
    select count(*) as number, count(*) filter (where outcome = 'success') as succeeded,
           count(*) filter (where outcome not in ('success', 'deleted')) as failed,
           count(*) filter (where outcome = 'deleted') as deleted,
           percentile_cont(array[0.5, 0.95]) within group (order by seconds)
             filter (where outcome = 'success') as seconds
    from tried)
  select jsonb_build_object(
    'days', p_days,
    'try_ons', ended.number, 'succeeded', ended.succeeded, 'failed', ended.failed,
    'deleted', ended.deleted, 'p50_seconds', ended.seconds[1], 'p95_seconds', ended.seconds[2],
    'paid_at_most', (select count(*) from paid where charged is not false),
    'uncertain', (select count(*) from paid where outcome = 'uncertain'),
    'not_charged', (select count(*) from paid where charged is false),
    'refused', (select count(*) from public.submits s, period
      where s.refused and s.at >= period.since),
    'failures', (
      select coalesce(jsonb_object_agg(f.outcome, f.number), '{}') from (
        select outcome, count(*) as number from tried
        where outcome not in ('success', 'deleted') group by outcome) f),
    'top_users', (
      select coalesce(jsonb_agg(jsonb_build_object('user_id', u.user_id, 'try_ons', u.number)
        order by u.number desc, u.user_id), '[]') from (
        select user_id, count(*) as number from tried
        where user_id <> '00000000-0000-0000-0000-000000000000' -- those who were forgotten
        group by user_id order by number desc, user_id limit 5) u))
  from ended
$$;
-- Also what one user was refused today.
create index if not exists submits_refused_idx on public.submits (user_id, at) where refused;

-- All that is known of a session: its row, if that is still there, its log, and its submits.
create or replace function public.session_timeline(p_id uuid, p_bucket text) returns jsonb
language sql stable security definer set search_path = '' as $$
  select jsonb_build_object(
    'row', (select to_jsonb(h) from public.try_on_history h where h.id = p_id),
    'garment', (select g.name from public.garments g join public.try_on_history h
      on h.garment_id = g.id where h.id = p_id),
    'log', (select to_jsonb(l) from public.session_log l where l.session_id = p_id),
    'task', (select to_jsonb(t) from public.provider_tasks t where t.session_id = p_id),
    'submits', (select coalesce(jsonb_agg(to_jsonb(s) order by s.at), '[]')
      from public.submits s where s.session_id = p_id),
    'objects', (select coalesce(jsonb_agg(jsonb_build_object(
        'path', o.name, 'created_at', o.created_at) order by o.created_at), '[]')
      from public.try_on_history h join storage.objects o on o.bucket_id = p_bucket
        and (o.name = h.original_user_image_url or o.name = h.result_image_url)
      where h.id = p_id))
$$;

-- Every object that a row names, and the small picture beside it.
create or replace function public.named_objects(p_bucket text) returns setof text
language sql stable set search_path = '' as $$
  select named.path from public.garments g
    cross join lateral (select public.object_path(g.image_url, p_bucket) as picture) p
    cross join lateral unnest(array[
      p.picture, regexp_replace(p.picture, '\.png$', '') || '_thumbnail.webp']) named (path)
  union all
  select named.path from public.try_on_history h
    cross join lateral unnest(array[
      h.original_user_image_url, h.result_image_url,
      regexp_replace(h.result_image_url, '\.png$', '') || '_thumbnail.webp']) named (path)
  union all
  select e.path from public.erasures e -- about to be erased
$$;

-- Objects of the bucket that no row names, up to 5000 of them. New ones are left out, whose row may be
-- on its way.
create or replace function public.stray_objects(p_bucket text) returns jsonb
language sql stable security definer set search_path = '' as $$
  with named as materialized (select path from public.named_objects(p_bucket) path),
  strays as (
    select o.name as path, (o.metadata ->> 'size')::bigint as bytes, o.created_at
    from storage.objects o
    where o.bucket_id = p_bucket
      and greatest(o.created_at, o.updated_at) < now() - interval '1 hour'
      and split_part(o.name, '/', 1) in ('garments', 'user-uploads', 'try-on-results')
      and not exists (select from named n where n.path = o.name)
    order by o.name limit 5000)
  select coalesce(jsonb_agg(to_jsonb(s) order by s.path), '[]') from strays s
$$;

-- Rows that name an object which is not there, up to 5000 of them. A refused photo was erased, and a
-- new one may be late.
create or replace function public.missing_objects(p_bucket text) returns jsonb
language sql stable security definer set search_path = '' as $$
  with missing as (
    select named.what, named.id, named.path from (
      select 'garment' as what, g.id, public.object_path(g.image_url, p_bucket) as path
      from public.garments g
      union all
      select 'photo', h.id, h.original_user_image_url from public.try_on_history h
      where h.error_code is distinct from 'photo_rejected'
        and h.created_at < now() - interval '10 minutes'
      union all
      select 'result', h.id, h.result_image_url from public.try_on_history h
    ) named
    where named.path not like 'http%'
      and not exists (select from storage.objects o
        where o.bucket_id = p_bucket and o.name = named.path)
    order by 1, 2 limit 5000)
  select coalesce(jsonb_agg(to_jsonb(m) order by m.what, m.id), '[]') from missing m
$$;

create or replace function public.objects_of_user(p_user_id uuid, p_bucket text) returns jsonb
language sql stable security definer set search_path = '' as $$
  select coalesce(jsonb_agg(o.name order by o.name), '[]') from storage.objects o
  where o.bucket_id = p_bucket
    and (starts_with(o.name, 'user-uploads/' || p_user_id || '/')
      or starts_with(o.name, 'try-on-results/' || p_user_id || '/'))
$$;

-- Take a user's id out of what outlives their sessions: the figures stay, and nobody's name is on them.
create or replace function public.forget_user(p_user_id uuid) returns void
language sql set search_path = '' as $$
  update public.submits set user_id = '00000000-0000-0000-0000-000000000000'
  where user_id = p_user_id;
  update public.session_log set user_id = '00000000-0000-0000-0000-000000000000'
  where user_id = p_user_id;
  delete from public.idempotency_keys where user_id = p_user_id;
$$;

-- What of the migrations is not in force, a sentence each: somebody has changed it since.
create or replace function public.installation_faults(p_bucket text) returns setof text
language plpgsql stable security definer set search_path = '' as $$
declare
  ours text[] := array['garments', 'try_on_history', 'provider_tasks', 'submits', 'erasures',
                       'idempotency_keys', 'pauses', 'session_log'];
  functions text[] := array[
    'admission', 'create_session', 'undo_session', 'claim_submit', 'record_outcome',
    'allow_one_resubmit', 'paid_today', 'tried_today', 'refused_today', 'under_way',
    'object_path', 'schema_version', 'database_time', 'log_session', 'record_erasures',
    'record_failed_result', 'end_session', 'overview', 'stats', 'session_timeline',
    'named_objects', 'stray_objects', 'missing_objects', 'objects_of_user', 'forget_user',
    'installation_faults'];
  name text;
  who text;
  allowed text;
begin
  foreach name in array ours loop
    if to_regclass('public.' || name) is null then
      return next format('the table %s is missing', name);
      continue;
    end if;
    if not (select c.relrowsecurity from pg_catalog.pg_class c
            where c.oid = to_regclass('public.' || name)) then
      return next format('row level security is off for %s', name);
    end if;
    foreach who in array array['anon', 'authenticated'] loop
      allowed := case
        when name = 'garments' or name = 'try_on_history' and who = 'authenticated'
        then 'INSERT, UPDATE, DELETE, TRUNCATE' else 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE' end;
      if has_table_privilege(who, 'public.' || name, allowed) or has_any_column_privilege(
        who, 'public.' || name, replace(replace(allowed, ', DELETE', ''), ', TRUNCATE', '')) then
        return next format('%s may do more with %s than is meant: %s', who, name, allowed);
      end if;
    end loop;
  end loop;
  return query
    select format('the policy %L on %s is not ours: users may write, or see others', p.policyname,
                  p.tablename)
    from pg_catalog.pg_policies p
    where p.schemaname = 'public' and p.tablename = any (ours) and p.permissive = 'PERMISSIVE'
      and p.roles && array['public', 'anon', 'authenticated']::name[]
      and not (p.cmd = 'SELECT' and p.tablename = 'garments')
      and not (p.cmd = 'SELECT' and p.tablename = 'try_on_history'
               and p.policyname = 'users read their own sessions'
               and regexp_replace(p.qual, '[[:space:]()]', '', 'g')
                   = 'SELECTauth.uidASuid=user_id');
  return query
    select format('the policy %L on %s is missing, or not as it was made', w.policy, w.on_table)
    from (values
      ('public', 'try_on_history', 'users read their own sessions', 'PERMISSIVE', 'SELECT'),
      ('storage', 'objects', 'vton nobody opens the pictures of others', 'RESTRICTIVE', 'SELECT'),
      ('storage', 'objects', 'vton only the service adds pictures', 'RESTRICTIVE', 'INSERT'),
      ('storage', 'objects', 'vton only the service changes pictures', 'RESTRICTIVE', 'UPDATE'),
      ('storage', 'objects', 'vton only the service removes pictures', 'RESTRICTIVE', 'DELETE'),
      ('storage', 'objects', 'vton users read their own pictures', 'PERMISSIVE', 'SELECT'),
      ('storage', 'objects', 'vton garment pictures are readable by everyone', 'PERMISSIVE',
       'SELECT')
    ) w (in_schema, on_table, policy, kind, command)
    where not exists (
      select from pg_catalog.pg_policies p
      where p.schemaname = w.in_schema and p.tablename = w.on_table and p.policyname = w.policy
        and p.permissive = w.kind and p.cmd = w.command
        and (w.in_schema = 'public' or coalesce(p.qual, p.with_check) like '%vton-assets%')
        -- Who writes is not asked at all; who reads, by the folder's name.
        and (w.kind = 'PERMISSIVE' and w.policy not like '%their own%'
             or coalesce(p.qual, p.with_check) like
                case w.command when 'SELECT' then '%auth.uid()%' else '%IS DISTINCT FROM%' end));
  if not (select c.relrowsecurity from pg_catalog.pg_class c
          where c.oid = to_regclass('storage.objects')) then
    return next 'row level security is off for storage.objects';
  end if;
  return query
    select format('the trigger %s is missing or off', w.trigger)
    from unnest(array['try_on_history_erasures', 'try_on_history_failed_result',
                      'try_on_history_log']) w (trigger)
    where not exists (select from pg_catalog.pg_trigger t
      where t.tgrelid = to_regclass('public.try_on_history') and t.tgname = w.trigger
        and t.tgenabled in ('O', 'A'));
  return query
    select format('the constraint %s is missing', w.name)
    from unnest(array['garments_image_url_check', 'try_on_history_status_check',
                      'try_on_history_photo_is_owners', 'try_on_history_result_is_owners']) w (name)
    where not exists (select from pg_catalog.pg_constraint c where c.conname = w.name);
  return query
    select format('the function %s is missing', w.name) from unnest(functions) w (name)
    where not exists (select from pg_catalog.pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.proname = w.name);
  return query
    select format('everybody may call the function %s', p.proname) from pg_catalog.pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.proname = any (functions)
      and (has_function_privilege('anon', p.oid, 'EXECUTE')
           or has_function_privilege('authenticated', p.oid, 'EXECUTE'));
  if not exists (select from storage.buckets b where b.id = p_bucket) then
    return next format('there is no bucket %s', p_bucket);
  elsif (select b.public from storage.buckets b where b.id = p_bucket) then
    return next format('the bucket %s is public: everybody can open the photos in it', p_bucket);
  end if;
end $$;

revoke execute on function
  public.overview(),
  public.stats(integer),
  public.session_timeline(uuid, text),
  public.named_objects(text),
  public.stray_objects(text),
  public.missing_objects(text),
  public.objects_of_user(uuid, text),
  public.forget_user(uuid),
  public.installation_faults(text)
from public, anon, authenticated;
grant execute on function
  public.overview(),
  public.stats(integer),
  public.session_timeline(uuid, text),
  public.named_objects(text),
  public.stray_objects(text),
  public.missing_objects(text),
  public.objects_of_user(uuid, text),
  public.forget_user(uuid),
  public.installation_faults(text)
to service_role;

create or replace function public.schema_version() returns integer
language sql immutable set search_path = '' as $$ select 2 $$;
revoke execute on function public.schema_version() from public, anon, authenticated;
grant execute on function public.schema_version() to service_role;

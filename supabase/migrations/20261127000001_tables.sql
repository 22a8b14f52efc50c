-- Virtual try-on: the two tables of the specification, and who may see what.
--
-- Only the service (service_role, which bypasses RLS) writes. A signed-in user
-- reads their own sessions and nothing else; everybody reads the garments.
--
-- The tables may be there already, made by the specification's own SQL and filled: then they are
-- completed, and no row, column, check or trigger that is in them is lost. All migrations may be
-- applied again.

create table if not exists public.garments (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  brand text,
  category text,
  image_url text not null, -- object path in the bucket, or an https URL
  created_at timestamptz default now()
);

do $$
begin
  if to_regclass('public.try_on_history') is not null and not exists (
    select from information_schema.columns where table_schema = 'public'
      and table_name = 'try_on_history' and column_name = 'error_code'
  ) then
    -- Made by somebody else's service: what that left unfinished nobody runs any more.
    alter table public.try_on_history add column error_code text;
    update public.try_on_history
    set status = 'failed', error_code = 'interrupted',
        error_message = 'The try-on was interrupted by a fault on our side.'
    where status in ('queued', 'processing');
    update public.try_on_history
    set error_code = 'provider_failed',
        error_message = coalesce(error_message, 'The try-on did not work out.')
    where status = 'failed' and error_code is null;
  end if;
end $$;

create table if not exists public.try_on_history (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references auth.users (id) on delete cascade,
  garment_id uuid references public.garments (id) on delete set null,
  original_user_image_url text,          -- object path in the bucket; signed when read
  result_image_url text,                 -- the same, once the result is stored
  status text not null default 'queued',
  error_message text,                    -- for the user, only when failed
  error_code text,                       -- the code behind the message, from the service's catalogue
  created_at timestamptz default now()
);

update public.garments set created_at = now() where created_at is null;
update public.try_on_history set created_at = now() where created_at is null;
alter table public.garments alter column created_at set not null;
alter table public.try_on_history alter column created_at set not null;

-- A URL of the bucket, as people copy it from the dashboard and as the specification's backend stored
-- it, is the path that is in it, on whatever host and whether signed or not. Others stay.
create or replace function public.object_path(url text, bucket text) returns text
language plpgsql immutable set search_path = '' as $$
declare
  path text := substring(url from
    '^https?://.*?/storage/v1/(?:object|render/image)/(?:public/|sign/|authenticated/)?'
    || bucket || '/([^?#]+)');
  decoded bytea := '';
  part text;
begin
  if path is null then
    return url;
  end if;
  for part in select m[1] from regexp_matches(path, '(%[0-9A-Fa-f]{2}|.)', 'g') m loop
    decoded := decoded || case
      when part ~ '^%..$' then decode(substr(part, 2), 'hex')
      else convert_to(part, 'utf8') end;
  end loop;
  return convert_from(decoded, 'utf8');
exception when others then -- no UTF-8 behind its percent signs
  return url;
end $$;

update public.garments set image_url = public.object_path(image_url, 'vton-assets')
where image_url like 'http%/storage/v1/%/vton-assets/%'
  and public.object_path(image_url, 'vton-assets') like 'garments/%';
update public.try_on_history
set original_user_image_url = public.object_path(original_user_image_url, 'vton-assets'),
    result_image_url = public.object_path(result_image_url, 'vton-assets')
where original_user_image_url like 'http%/storage/v1/%/vton-assets/%'
   or result_image_url like 'http%/storage/v1/%/vton-assets/%';

-- What is so of every row from now on. Rows that were there before may be odd, and are kept.
do $$
declare
  wanted text[];
begin
  foreach wanted slice 1 in array array[
    ['garments', 'garments_name_check', 'name <> '''''],
    -- A picture of the shop's own, or one elsewhere; never a user's, which the public API would sign.
    ['garments', 'garments_image_url_check',
      'length(image_url) <= 2000 and ('
      'image_url ~ ''^garments/[^[:cntrl:]]+$'' and image_url !~ ''(^|/)\.\.?(/|$)'' or '
      'image_url ~ ''^https://[^[:space:][:cntrl:]@/?#\\]+([/?#][^[:space:][:cntrl:]]*)?$'')'],
    ['try_on_history', 'try_on_history_has_owner_and_photo',
      'user_id is not null and original_user_image_url is not null'],
    ['try_on_history', 'try_on_history_status_check',
      'status in (''queued'', ''processing'', ''success'', ''failed'')'],
    ['try_on_history', 'try_on_history_success_has_result',
      '(status = ''success'') = (result_image_url is not null)'],
    ['try_on_history', 'try_on_history_failed_has_message',
      '(status = ''failed'') = (error_message is not null and error_code is not null)'],
    -- Every object a row names lies under its owner's id, so that nothing else is ever signed.
    ['try_on_history', 'try_on_history_photo_is_owners',
      'starts_with(original_user_image_url, ''user-uploads/'' || user_id || ''/'')'],
    ['try_on_history', 'try_on_history_result_is_owners',
      'result_image_url = ''try-on-results/'' || user_id || ''/'' || id || ''_result.png''']
  ] loop
    if not exists (select from pg_constraint
                   where conrelid = ('public.' || wanted[1])::regclass and conname = wanted[2]) then
      execute format('alter table public.%I add constraint %I check (%s) not valid',
                     wanted[1], wanted[2], wanted[3]);
    end if;
  end loop;
end $$;

create index if not exists garments_category_idx
  on public.garments (category, created_at desc, id desc);
create index if not exists garments_created_idx on public.garments (created_at desc, id desc);
create index if not exists garments_image_url_idx on public.garments (image_url);
create index if not exists try_on_history_user_idx
  on public.try_on_history (user_id, created_at desc, id desc);
create index if not exists try_on_history_photo_idx
  on public.try_on_history (original_user_image_url);
create index if not exists try_on_history_garment_idx on public.try_on_history (garment_id);
create index if not exists try_on_history_created_idx on public.try_on_history (created_at);
create index if not exists try_on_history_unfinished_idx on public.try_on_history (created_at)
  where status in ('queued', 'processing');
create index if not exists try_on_history_user_unfinished_idx on public.try_on_history (user_id)
  where status in ('queued', 'processing');

alter table public.garments enable row level security;
alter table public.try_on_history enable row level security;

-- Policies of whatever name that let users write, or see others' sessions, give way to ours: the
-- specification's own, `user_id = auth.uid()` for every operation, lets users forge sessions.
do $$
declare
  found record;
begin
  for found in
    select tablename, policyname from pg_policies
    where schemaname = 'public' and tablename in ('garments', 'try_on_history')
      and roles && array['public', 'anon', 'authenticated']::name[]
      and (cmd <> 'SELECT' or tablename = 'try_on_history'
           or policyname = 'garments are readable by everyone')
  loop
    execute format('drop policy %I on public.%I', found.policyname, found.tablename);
  end loop;
end $$;
-- Anybody may ask PostgREST for what the planner estimates (Prefer: count=planned), which goes by what
-- it knows of all rows. Without statistics it says the same of every user, id and time; what share
-- of all sessions has which status is nobody's secret.
do $$
declare
  statistic record;
begin
  for statistic in
    select attname from pg_attribute
    where attrelid = 'public.try_on_history'::regclass and attnum > 0 and not attisdropped
      and attname <> 'status'
  loop
    execute format('alter table public.try_on_history alter column %I set statistics 0',
                   statistic.attname);
  end loop;
  -- Those that are there stay, unless the column's type is set: to what it is, nothing is rewritten.
  for statistic in
    select s.attname, format_type(a.atttypid, a.atttypmod) as kind
    from pg_stats s join pg_attribute a
      on a.attrelid = 'public.try_on_history'::regclass and a.attname = s.attname
    where s.schemaname = 'public' and s.tablename = 'try_on_history' and s.attname <> 'status'
  loop
    begin
      execute format('alter table public.try_on_history alter column %I type %s',
                     statistic.attname, statistic.kind);
    exception when others then -- in a view, say, or a policy of somebody's own
      raise warning 'what the planner knows of try_on_history.% stays', statistic.attname;
    end;
  end loop;
end $$;

create policy "garments are readable by everyone" on public.garments
  for select to anon, authenticated using (true);
create policy "users read their own sessions" on public.try_on_history
  for select to authenticated using ((select auth.uid()) = user_id);

-- Supabase grants everything on new tables to anon and authenticated and leaves the
-- rest to RLS. Take back what no policy is meant to allow, so that a later policy
-- cannot open it by accident.
revoke all on public.garments, public.try_on_history from anon, authenticated;
grant select on public.garments to anon, authenticated;
grant select on public.try_on_history to authenticated;
grant all on public.garments, public.try_on_history to service_role;
revoke execute on function public.object_path(text, text) from public, anon, authenticated;
grant execute on function public.object_path(text, text) to service_role;

-- Objects that must go, because their row went: by the API's delete, in cascade when an account is
-- deleted, or when a session failed whose result may still come. Worked off by the service.

create table if not exists public.erasures (
  id bigint generated always as identity primary key,
  session_id uuid not null,
  path text not null,
  created_at timestamptz not null default now(),
  erased_at timestamptz -- when it was removed for the first time; it is removed once more later
);
create index if not exists erasures_created_idx on public.erasures (created_at);
create index if not exists erasures_new_idx on public.erasures (created_at) where erased_at is null;

create or replace function public.record_erasures() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.erasures (session_id, path)
  select old.id, path from unnest(array[
    old.original_user_image_url,
    -- Always named: a run that is under way may store it after its row is gone.
    'try-on-results/' || old.user_id || '/' || old.id || '_result.png',
    'try-on-results/' || old.user_id || '/' || old.id || '_result_thumbnail.webp'
  ]) path
  -- Rows from before this service may have a picture elsewhere, or none.
  where starts_with(path, 'user-uploads/' || old.user_id || '/')
     or starts_with(path, 'try-on-results/' || old.user_id || '/');
  if old.status in ('queued', 'processing') then
    update public.submits set abandoned_at = now()
    where session_id = old.id and outcome <> 'not_accepted';
  end if;
  return null;
end $$;
create or replace trigger try_on_history_erasures after delete on public.try_on_history
  for each row execute function public.record_erasures();

-- A session that was submitted and then failed may still have its result stored by a run that was
-- slower than the failure. A photo that was refused is of no use to anybody.
create or replace function public.record_failed_result() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.erasures (session_id, path)
  select t.session_id, 'try-on-results/' || new.user_id || '/' || new.id || ending
  from public.provider_tasks t, unnest(array['_result.png', '_result_thumbnail.webp']) ending
  where t.session_id = new.id;
  insert into public.erasures (session_id, path)
  select new.id, new.original_user_image_url
  where new.error_code = 'photo_rejected'
    and starts_with(new.original_user_image_url, 'user-uploads/' || new.user_id || '/');
  return null;
end $$;
create or replace trigger try_on_history_failed_result after update of status on public.try_on_history
  for each row when (new.status = 'failed')
  execute function public.record_failed_result();

alter table public.erasures enable row level security;
revoke all on public.erasures from anon, authenticated;
grant all on public.erasures to service_role;
revoke all on sequence public.erasures_id_seq from anon, authenticated;
revoke execute on function public.record_erasures(), public.record_failed_result()
  from public, anon, authenticated;

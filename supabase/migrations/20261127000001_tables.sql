-- Virtual try-on: the two tables of the specification, and who may see what.
--
-- Only the service (service_role, which bypasses RLS) writes. A signed-in user
-- reads their own sessions and nothing else; everybody reads the garments.

create table public.garments (
  id uuid primary key default gen_random_uuid(),
  name text not null check (name <> ''),
  brand text,
  category text,
  image_url text not null check (image_url <> ''), -- object path in the bucket, or an https URL
  created_at timestamptz not null default now()
);
create index garments_category_idx on public.garments (category, created_at desc, id desc);
create index garments_created_idx on public.garments (created_at desc, id desc);
-- `flask garments import` may run twice: one row for a picture.
create unique index garments_image_url_key on public.garments (image_url);

create table public.try_on_history (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  garment_id uuid references public.garments (id) on delete set null,
  original_user_image_url text not null, -- object path in the bucket; signed when read
  result_image_url text,                 -- the same, once the result is stored
  status text not null default 'queued',
  error_message text,                    -- for the user, only when failed
  error_code text,                       -- the code behind the message, from the service's catalogue
  created_at timestamptz not null default now(),
  constraint try_on_history_status_check
    check (status in ('queued', 'processing', 'success', 'failed')),
  constraint try_on_history_success_has_result
    check ((status = 'success') = (result_image_url is not null)),
  constraint try_on_history_failed_has_message
    check ((status = 'failed') = (error_message is not null and error_code is not null)),
  -- Every object a row names lies under its owner's id, so that nothing else is ever signed.
  constraint try_on_history_photo_is_owners
    check (starts_with(original_user_image_url, 'user-uploads/' || user_id || '/')),
  constraint try_on_history_result_is_owners
    check (result_image_url = 'try-on-results/' || user_id || '/' || id || '_result.png')
);
create index try_on_history_user_idx on public.try_on_history (user_id, created_at desc, id desc);
-- The photo's name is the upload's millisecond: two sessions never share one.
create unique index try_on_history_photo_key on public.try_on_history (original_user_image_url);
create index try_on_history_garment_idx on public.try_on_history (garment_id);
create index try_on_history_created_idx on public.try_on_history (created_at);
create index try_on_history_unfinished_idx on public.try_on_history (created_at)
  where status in ('queued', 'processing');
create index try_on_history_user_unfinished_idx on public.try_on_history (user_id)
  where status in ('queued', 'processing');

alter table public.garments enable row level security;
alter table public.try_on_history enable row level security;

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

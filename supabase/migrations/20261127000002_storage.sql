-- The private bucket. Paths: garments/{name}.png, user-uploads/{user_id}/{timestamp}_original.jpg,
-- try-on-results/{user_id}/{session_id}_result.png. Beside a garment and a result, {name}_thumbnail.webp.

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values ('vton-assets', 'vton-assets', false, 26214400,
        array['image/jpeg', 'image/png', 'image/webp'])
on conflict (id) do update set public = false,
  file_size_limit = excluded.file_size_limit, allowed_mime_types = excluded.allowed_mime_types;

-- Nobody opens, writes or removes what is not theirs, whatever policies there are or will be: a
-- restrictive policy cannot be overruled. Users may open their own photos and results, everybody the
-- garments; only the service, which bypasses RLS, writes objects.
drop policy if exists "vton nobody opens the pictures of others" on storage.objects;
create policy "vton nobody opens the pictures of others" on storage.objects
  as restrictive for select to anon, authenticated using (
    bucket_id is distinct from 'vton-assets'
    or (storage.foldername(name))[1] = 'garments'
    or (storage.foldername(name))[1] in ('user-uploads', 'try-on-results')
      and (storage.foldername(name))[2] = (select auth.uid()::text)
  );
drop policy if exists "vton only the service adds pictures" on storage.objects;
create policy "vton only the service adds pictures" on storage.objects
  as restrictive for insert to anon, authenticated
  with check (bucket_id is distinct from 'vton-assets');
drop policy if exists "vton only the service changes pictures" on storage.objects;
create policy "vton only the service changes pictures" on storage.objects
  as restrictive for update to anon, authenticated
  using (bucket_id is distinct from 'vton-assets')
  with check (bucket_id is distinct from 'vton-assets');
drop policy if exists "vton only the service removes pictures" on storage.objects;
create policy "vton only the service removes pictures" on storage.objects
  as restrictive for delete to anon, authenticated
  using (bucket_id is distinct from 'vton-assets');

drop policy if exists "vton users read their own pictures" on storage.objects;
create policy "vton users read their own pictures" on storage.objects
  for select to authenticated using (
    bucket_id = 'vton-assets'
    and (storage.foldername(name))[1] in ('user-uploads', 'try-on-results')
    and (storage.foldername(name))[2] = (select auth.uid()::text)
  );
drop policy if exists "vton garment pictures are readable by everyone" on storage.objects;
create policy "vton garment pictures are readable by everyone" on storage.objects
  for select to anon, authenticated using (
    bucket_id = 'vton-assets' and (storage.foldername(name))[1] = 'garments'
  );

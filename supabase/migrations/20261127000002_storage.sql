-- The private bucket. Paths: garments/{name}.png, user-uploads/{user_id}/{timestamp}_original.jpg,
-- try-on-results/{user_id}/{session_id}_result.png.

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values ('vton-assets', 'vton-assets', false, 26214400, array['image/jpeg', 'image/png', 'image/webp'])
on conflict (id) do update set public = false,
  file_size_limit = excluded.file_size_limit, allowed_mime_types = excluded.allowed_mime_types;

-- Users may open their own photos and results, everybody the garments. There is no policy
-- for insert, update or delete: only the service, which bypasses RLS, writes objects.
create policy "vton users read their own pictures" on storage.objects
  for select to authenticated using (
    bucket_id = 'vton-assets'
    and (storage.foldername(name))[1] in ('user-uploads', 'try-on-results')
    and (storage.foldername(name))[2] = (select auth.uid()::text)
  );
create policy "vton garment pictures are readable by everyone" on storage.objects
  for select to anon, authenticated using (
    bucket_id = 'vton-assets' and (storage.foldername(name))[1] = 'garments'
  );

-- The private bucket. Paths: garments/{name}.png, user-uploads/{user_id}/{timestamp}_original.jpg,
-- try-on-results/{user_id}/{session_id}_result.png.

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values ('vton-assets', 'vton-assets', false, 26214400,
        array['image/jpeg', 'image/png', 'image/webp'])
on conflict (id) do update set public = false,
  file_size_limit = excluded.file_size_limit, allowed_mime_types = excluded.allowed_mime_types;

-- What opens the bucket to users goes; what is of other buckets stays as it is, and what is of this one
-- among others, or of all, goes on for the others.
do $$
declare
  found record;
  condition text;
begin
  for found in
    select policyname, qual, with_check,
           coalesce(qual, '') || ' ' || coalesce(with_check, '') as text
    from pg_policies
    where schemaname = 'storage' and tablename = 'objects' and permissive = 'PERMISSIVE'
      and roles && array['public', 'anon', 'authenticated']::name[]
  loop
    if found.text like '%bucket\_id%' and found.text not like '%vton-assets%' then
      continue;
    elsif found.text like '%AND (bucket\_id <> ''vton-assets''%' then  -- by an earlier application
      continue;
    elsif found.text like '%vton-assets%' and found.text !~* '(any|all) \(|\sor\s|\sin\s' then
      execute format('drop policy %I on storage.objects', found.policyname);
      continue;
    end if;
    condition := '';
    if found.qual is not null then
      condition := format(' using ((%s) and bucket_id <> ''vton-assets'')', found.qual);
    end if;
    if found.with_check is not null then
      condition := condition
        || format(' with check ((%s) and bucket_id <> ''vton-assets'')', found.with_check);
    end if;
    execute format('alter policy %I on storage.objects%s', found.policyname, condition);
  end loop;
end $$;

-- Users may open their own photos and results, everybody the garments. There is no policy
-- for insert, update or delete: only the service, which bypasses RLS, writes objects.
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

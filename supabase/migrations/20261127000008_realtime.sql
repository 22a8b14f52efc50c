-- Push in place of polls: where there is Supabase Realtime, it sends changes of a session to who may
-- read it by row level security. Of a delete it sends the id alone, to everybody who listens
-- (https://supabase.com/docs/guides/realtime/postgres-changes).
do $$
begin
  if exists (select from pg_publication where pubname = 'supabase_realtime' and not puballtables)
    and not exists (
      select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
      where p.pubname = 'supabase_realtime' and r.prrelid = 'public.try_on_history'::regclass)
    -- A table without a primary key could not be updated any more.
    and exists (
      select from pg_index where indrelid = 'public.try_on_history'::regclass and indisprimary)
  then
    alter publication supabase_realtime add table public.try_on_history;
  end if;
exception when insufficient_privilege then -- it is somebody else's
  raise warning 'changes of sessions are not sent by Realtime: %', sqlerrm;
end $$;

-- Which release's schema this is. A later one only adds, so that a release runs on the next one's
-- schema: it is ready where the number is its own or greater.
create or replace function public.schema_version() returns integer
language sql immutable set search_path = '' as $$ select 1 $$;
revoke execute on function public.schema_version() from public, anon, authenticated;
grant execute on function public.schema_version() to service_role;

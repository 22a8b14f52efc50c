-- What a hosted Supabase project brings before the first migration: roles, grants, and the
-- parts of the schemas `auth` and `storage` that this project and its policies touch.
-- Applied by devstack/postgres.py as the cluster's superuser `supabase_admin`; may run again.
--
-- As on a hosted project, `postgres`, who applies the migrations, is no superuser. One thing is
-- laxer than there: a hosted project lets `postgres` create policies on storage.objects and
-- nothing else (the extension supautils), here it is a member of the role that owns the table.

do $$
declare
  wanted text[];
begin
  foreach wanted slice 1 in array array[
    ['postgres', 'login createrole createdb replication bypassrls'],
    ['anon', 'nologin noinherit'],
    ['authenticated', 'nologin noinherit'],
    ['service_role', 'nologin noinherit bypassrls'],
    ['authenticator', 'login noinherit'],
    ['supabase_auth_admin', 'login noinherit createrole'],
    ['supabase_storage_admin', 'login noinherit createrole']
  ] loop
    if not exists (select from pg_roles where rolname = wanted[1]) then
      execute format('create role %I %s', wanted[1], wanted[2]);
    end if;
  end loop;
  execute format('alter database %I owner to postgres', current_database());
end $$;

grant anon, authenticated, service_role to authenticator, postgres;
grant supabase_storage_admin to postgres;
alter role postgres set search_path = "$user", public, extensions;

create schema if not exists extensions;
create schema if not exists auth authorization supabase_auth_admin;
create schema if not exists storage authorization supabase_storage_admin;
grant usage on schema extensions, auth, storage, public to postgres, anon, authenticated, service_role;
grant all on schema extensions, auth, public to postgres;

-- The default that surprises: every new table in public is open to everybody but for RLS.
do $$
declare
  creator text;
  kind text;
begin
  foreach creator in array array['postgres', 'supabase_admin'] loop
    foreach kind in array array['tables', 'functions', 'sequences'] loop
      execute format('alter default privileges for role %I in schema public grant all on %s '
        'to postgres, anon, authenticated, service_role', creator, kind);
    end loop;
  end loop;
end $$;

-- Auth ----------------------------------------------------------------------------------------

create table if not exists auth.users (
  id uuid primary key default gen_random_uuid(),
  aud varchar(255) not null default 'authenticated',
  role varchar(255) not null default 'authenticated',
  email varchar(255),
  encrypted_password varchar(255),
  email_confirmed_at timestamptz,
  phone text unique,
  last_sign_in_at timestamptz,
  raw_app_meta_data jsonb not null default '{}',
  raw_user_meta_data jsonb not null default '{}',
  is_anonymous boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index if not exists users_email_partial_key on auth.users (email);

create table if not exists auth.sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  method text not null default 'password',
  created_at timestamptz not null default now(),
  refreshed_at timestamptz
);
create index if not exists sessions_user_id_idx on auth.sessions (user_id);

create table if not exists auth.refresh_tokens (
  id bigint generated always as identity primary key,
  session_id uuid not null references auth.sessions (id) on delete cascade,
  token varchar(255) not null unique,
  parent varchar(255),
  revoked boolean not null default false,
  created_at timestamptz not null default now()
);
create index if not exists refresh_tokens_session_id_idx on auth.refresh_tokens (session_id);

alter table auth.users enable row level security;
alter table auth.sessions enable row level security;
alter table auth.refresh_tokens enable row level security;
alter table auth.users owner to supabase_auth_admin;
alter table auth.sessions owner to supabase_auth_admin;
alter table auth.refresh_tokens owner to supabase_auth_admin;
grant all on auth.users, auth.sessions, auth.refresh_tokens to postgres;

-- The claims of the caller's token, as PostgREST and Storage set them for each transaction.
create or replace function auth.jwt() returns jsonb language sql stable as
$$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
create or replace function auth.uid() returns uuid language sql stable as
$$ select (auth.jwt() ->> 'sub')::uuid $$;
create or replace function auth.role() returns text language sql stable as
$$ select auth.jwt() ->> 'role' $$;
create or replace function auth.email() returns text language sql stable as
$$ select auth.jwt() ->> 'email' $$;

-- Storage -------------------------------------------------------------------------------------

create table if not exists storage.buckets (
  id text primary key,
  name text not null unique,
  owner uuid,
  owner_id text,
  public boolean default false,
  avif_autodetection boolean default false,
  file_size_limit bigint,
  allowed_mime_types text[],
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

create table if not exists storage.objects (
  id uuid primary key default gen_random_uuid(),
  bucket_id text references storage.buckets (id),
  name text,
  owner uuid,
  owner_id text,
  version text,
  metadata jsonb,
  user_metadata jsonb,
  path_tokens text[] generated always as (string_to_array(name, '/')) stored,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  last_accessed_at timestamptz default now()
);
create unique index if not exists bucketid_objname on storage.objects (bucket_id, name);
create index if not exists name_prefix_search on storage.objects (name text_pattern_ops);

alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
alter table storage.buckets owner to supabase_storage_admin;
alter table storage.objects owner to supabase_storage_admin;
grant all on storage.buckets, storage.objects to postgres with grant option;
grant all on storage.buckets, storage.objects to anon, authenticated, service_role;

create or replace function storage.foldername(name text) returns text[] language sql immutable as
$$ select trim_array(string_to_array(name, '/'), 1) $$;
create or replace function storage.filename(name text) returns text language sql immutable as
$$ select split_part(name, '/', -1) $$;
create or replace function storage.extension(name text) returns text language sql immutable as
$$ select split_part(split_part(name, '/', -1), '.', -1) $$;

-- As on a hosted project: a delete by SQL would leave the bytes behind, so it is refused.
create or replace function storage.protect_delete() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('storage.allow_delete_query', true), '') <> 'true' then
    raise insufficient_privilege using
      message = 'Direct deletion from storage tables is not allowed. Use the Storage API instead.';
  end if;
  return null;
end $$;
create or replace trigger protect_buckets_delete before delete on storage.buckets
  for each statement execute function storage.protect_delete();
create or replace trigger protect_objects_delete before delete on storage.objects
  for each statement execute function storage.protect_delete();

-- What Realtime sends changes of; a hosted project has it, without tables.
do $$
begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;
  alter publication supabase_realtime owner to postgres;
end $$;

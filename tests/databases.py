"""A database as the specification's own SQL makes it, and all that migrations make, to compare."""

from typing import Any

import psycopg

Database = psycopg.Connection[Any]

SPECIFICATION = """
CREATE TABLE garments (
  id UUID DEFAULT gen_random_uuid() PRIMARY KEY,
  name TEXT NOT NULL,
  brand TEXT,
  category TEXT,
  image_url TEXT NOT NULL,
  created_at TIMESTAMPTZ DEFAULT NOW()
);
CREATE INDEX ON garments (category);
CREATE TABLE try_on_history (
  id UUID DEFAULT gen_random_uuid() PRIMARY KEY,
  user_id UUID REFERENCES auth.users(id) ON DELETE CASCADE,
  garment_id UUID REFERENCES garments(id) ON DELETE SET NULL,
  original_user_image_url TEXT,
  result_image_url TEXT,
  status TEXT NOT NULL DEFAULT 'queued',
  error_message TEXT,
  created_at TIMESTAMPTZ DEFAULT NOW()
);
CREATE INDEX ON try_on_history (user_id, created_at DESC);
ALTER TABLE try_on_history ENABLE ROW LEVEL SECURITY;
CREATE POLICY "own rows" ON try_on_history FOR ALL USING (user_id = auth.uid());
CREATE POLICY "everybody writes" ON garments FOR INSERT TO anon WITH CHECK (true);
INSERT INTO storage.buckets (id, name, public) VALUES ('vton-assets', 'vton-assets', true);
"""
"""The document's tables and policy, and the public bucket that its `uploadImage` needs."""


def schema(database: Database) -> list[tuple[Any, ...]]:
    """Columns, constraints, indexes, policies, triggers and functions: all that migrations make."""
    return database.execute(
        """
        select 'column', table_name, column_name, data_type, is_nullable, column_default
        from information_schema.columns where table_schema = 'public'
        union all select 'constraint', conrelid::regclass::text, conname,
          pg_get_constraintdef(oid), '', '' from pg_constraint
          where connamespace = 'public'::regnamespace
        union all select 'index', tablename, indexname, indexdef, '', '' from pg_indexes
          where schemaname = 'public'
        union all select 'policy', tablename, policyname, cmd || roles::text, qual, with_check
          from pg_policies where schemaname in ('public', 'storage')
        union all select 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', ''
          from pg_trigger where not tgisinternal
        union all select 'function', proname, pg_get_functiondef(oid), proacl::text, '', ''
          from pg_proc where pronamespace = 'public'::regnamespace
        order by 1, 2, 3, 4
        """
    ).fetchall()

"""Supabase: database, storage and login."""

"""A loopback Supabase: Auth, Storage and REST in front of a real PostgreSQL.

It speaks the wire contracts of supabase/auth, supabase/storage and PostgREST as far as this
project and a browser frontend of it need them, and says 501 to everything else. Who may see or
change a row is decided by PostgreSQL alone: every statement runs as the caller's role, with the
caller's claims.

    python -m devstack.supabase --port 8001 --database-url URL --data DIR
"""

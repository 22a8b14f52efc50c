-- What the sweep asks for every few seconds, of tables that may be long.

-- Submits that nobody has settled; the books only grow.
create index submits_open_idx on public.submits (at) where outcome = 'open';
-- Objects that have not been removed yet, among those that wait to be removed once more.
create index erasures_new_idx on public.erasures (created_at) where erased_at is null;

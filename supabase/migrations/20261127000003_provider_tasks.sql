-- What the provider said of a session: a table that only the service reads.

-- The claim of a session: the attempt that may be submitting now, and once that was accepted, its
-- task. Whoever wants to submit and finds another's claim must not; a run that finds a task goes on
-- with it and pays nothing.
create table if not exists public.provider_tasks (
  session_id uuid primary key references public.try_on_history (id) on delete cascade,
  attempt uuid not null,
  provider text,   -- who took the task
  task_id text,    -- their own id of it
  status_url text, -- where they said to ask, if they did
  constraint provider_tasks_provider_has_task check ((provider is null) = (task_id is null)),
  constraint provider_tasks_status_url_needs_task check (status_url is null or task_id is not null)
);

alter table public.provider_tasks enable row level security;
revoke all on public.provider_tasks from anon, authenticated;
grant all on public.provider_tasks to service_role;

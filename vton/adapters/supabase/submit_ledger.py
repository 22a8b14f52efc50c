"""The ledger of submits; its rules are in the migrations' functions, each one transaction."""

from datetime import datetime

from supabase import Client

from vton.adapters.supabase.rows import call, one_row, rows
from vton.errors import Unavailable
from vton.tryon.model import ProviderTask
from vton.tryon.ports.database import Claim, ClaimResult, Outcome
from vton.tryon.ports.photos import ResultKind


class SubmitRows:
    """Implements `vton.tryon.ports.database.SubmitLedger`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def claim_submit(self, session_id: str, attempt: str, paid_cap: int) -> Claim:
        arguments = {"p_session_id": session_id, "p_attempt": attempt, "p_paid_cap": paid_cap}
        row = one_row(self._client, "claim_submit", arguments)
        return Claim(ClaimResult(row["result"]), row["age"])

    def open(self, attempt: str, session_id: str, user_id: str) -> None:
        """Note a paid call that is about to be made for no session: one of the operator's own."""
        row = {"attempt": attempt, "session_id": session_id, "user_id": user_id}
        rows(self._client.table("submits").insert(row))

    def record_outcome(
        self, attempt: str, outcome: Outcome, task: ProviderTask | None = None
    ) -> None:
        arguments = {
            "p_attempt": attempt,
            "p_outcome": outcome,
            "p_provider": task.provider if task else None,
            "p_task_id": task.id if task else None,
            "p_status_url": task.status_url if task else None,
        }
        call(self._client, "record_outcome", arguments)

    def allow_one_resubmit(self, session_id: str, task_id: str) -> bool:
        arguments = {"p_session_id": session_id, "p_task_id": task_id}
        answer = call(self._client, "allow_one_resubmit", arguments)
        if not isinstance(answer, bool):
            raise Unavailable
        return answer

    def record_result_kind(self, session_id: str, task_id: str, kind: ResultKind) -> None:
        query = self._client.table("submits").update({"result_kind": kind})
        rows(query.eq("session_id", session_id).eq("task_id", task_id))

    def mark_stale_uncertain(self, before: datetime) -> None:
        query = self._client.table("submits").update({"outcome": Outcome.UNCERTAIN})
        rows(query.eq("outcome", "open").lt("at", before.isoformat()))

"""What each change has in a round of tuning: the snapshot, the rules, the record, the state, and what it reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tradecast_operator.model.actions import Action
from tradecast_operator.model.adapter_spec import RedisAdapter
from tradecast_operator.planning.conditions import Condition, Truth
from tradecast_operator.tuning.record import TuningRecord
from tradecast_operator.tuning.snapshot import Decision, Snapshot, TuningState

# After a rollback no other change starts for so many times the dwell.
ROLLBACK_PAUSE: Final = 4


class TuningRound:
    """One round of tuning: its steps are methods, which report what happens and end in a decision.

    Args:
        snapshot: The adapter now.
        rules: `spec.redisAdapter`.
        record: What is persisted; None: there is no ConfigMap, or none with a valid record.
        state: What the last round remembered.
    """

    def __init__(
        self, snapshot: Snapshot, rules: RedisAdapter, record: TuningRecord | None, state: TuningState
    ) -> None:
        self._snapshot = snapshot
        self._rules = rules
        self._record = record or TuningRecord()
        self._is_recorded = record is not None
        self._state = state
        self._actions: list[Action] = []

    def wait_for_answers(self) -> Decision:
        """Begin nothing: servers are missing, or do not answer."""
        silent = self._snapshot.silent
        if not self._snapshot.servers and not silent:
            return self._decide("Unknown", "ServersSilent", "no server is in service")
        message = f"no change starts without an answer of every server: {name_servers(silent)}"
        return self._decide("Unknown", "ServersSilent", message)

    def _report(self, *, reason: str, message: str, warning: bool = False) -> None:
        self._actions.append(Action(reason=reason, message=message, warning=warning))

    def _decide(
        self,
        status: Truth,
        reason: str,
        message: str,
        *,
        record: TuningRecord | None = None,
        mark: str | None = None,
    ) -> Decision:
        """End the round with this condition.

        Args:
            status: Of the condition AdapterTuned.
            reason: Of the condition.
            message: Of the condition.
            record: To be persisted; None: it stays as it is.
            mark: To be written on the pod template; None: it stays as it is.
        """
        return Decision(
            record=record,
            actions=tuple(self._actions),
            condition=Condition("AdapterTuned", status, reason, message),
            status=self._summarize(),
            state=self._state,
            mark=mark,
        )

    def _summarize(self) -> dict[str, str]:
        """The adapter's part of the status."""
        revisions = {one.revision for one in self._snapshot.servers}
        known = not self._snapshot.silent and len(revisions) == 1
        return {
            "recommendedMode": self._state.recommended_mode or "",
            "revision": (next(iter(revisions)) or "") if known else "",
        }

    def _not_in_effect(self) -> list[str]:
        """Names of the servers in service at which the record's revision is not in effect."""
        return [one.pod for one in self._snapshot.servers if one.revision != self._record.revision]


def name_servers(names: Sequence[str]) -> str:
    """The first names of a list, as text."""
    return ", ".join(names[:5]) or "any server"

"""Writing the status of one SocketFleet, with its conditions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from tradecast_operator.kube.client import Kubernetes, Object
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.model.resource import FleetResource, list_conditions
from tradecast_operator.planning.conditions import Condition, merge_conditions

# A status in which only the conditions' messages are new is written at most once in so many seconds: their figures
# change in each round.
MESSAGES_EVERY: Final = 15.0


class ConditionObserver(Protocol):
    """Gets the conditions of a fleet whenever its status is written."""

    def report_conditions(self, statuses: Mapping[str, str]) -> None:
        """Take the statuses by type."""


class StatusWriter:
    """Writes the status.

    Args:
        kubernetes: The API.
        resource: The SocketFleet; gets what is written.
        lease: Without the Lease nothing is written.
        observer: Gets the conditions.
    """

    def __init__(
        self, kubernetes: Kubernetes, resource: FleetResource, lease: Leaseholder, observer: ConditionObserver
    ) -> None:
        self._kubernetes = kubernetes
        self._resource = resource
        self._lease = lease
        self._observer = observer
        self._written_at = -MESSAGES_EVERY

    async def write(self, observed: Object, changes: Mapping[str, Any], conditions: Sequence[Condition]) -> None:
        """Write what has changed, if anything has.

        Args:
            observed: The resource as it was when the fleet was observed; by now it may have another generation.
            changes: Fields of the status.
            conditions: The conditions; others stay as they are.

        Raises:
            NotHeld: Another operator may write now.
        """
        before, generation = self._resource.body, observed["metadata"]["generation"]
        merged = merge_conditions(list_conditions(before), conditions, generation, time.time())
        status = {**changes, "conditions": merged}
        if self._is_due(status):
            async with self._lease.acting():
                await self._kubernetes.set_status(self._resource.namespace, self._resource.name, status)
            self._resource.set_status(status)
            self._written_at = time.monotonic()
        self._observer.report_conditions({one["type"]: one["status"] for one in merged})

    def _is_due(self, status: Mapping[str, Any]) -> bool:
        """Whether a status is written now."""
        before = self._resource.status
        if all(before.get(key) == value for key, value in status.items()):
            return False
        if any(_without_messages(before.get(key)) != _without_messages(value) for key, value in status.items()):
            return True
        return time.monotonic() - self._written_at >= MESSAGES_EVERY


def _without_messages(value: Any) -> Any:
    """A value of the status; of conditions, what programs decide by."""
    if not isinstance(value, list):
        return value
    return [{name: field for name, field in one.items() if name != "message"} for one in value if isinstance(one, dict)]

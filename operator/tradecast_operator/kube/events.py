"""Writing events about one SocketFleet, and the log lines with them."""

from __future__ import annotations

import datetime
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

import httpx
import structlog

from tradecast_operator.kube.client import GROUP, VERSION, Kubernetes, Missing, Object
from tradecast_operator.model.actions import Action
from tradecast_operator.model.resource import FleetResource

# The same event is written again only after so many seconds.
REPEATED_AFTER: Final = 300.0
# So many events are remembered for that.
REMEMBERED: Final = 1_000
# Characters of an event's message that Kubernetes accepts.
LONGEST_MESSAGE: Final = 1024
# So many events of a fleet are written at once, and then one in so many seconds; the last of them are for warnings.
BURST: Final = 100
ONE_IN: Final = 10.0
FOR_WARNINGS: Final = 25
log = structlog.stdlib.get_logger("tradecast.operator")


class EventObserver(Protocol):
    """Counts the events that are not written."""

    def report_suppressed_event(self) -> None:
        """There were too many."""


class EventRecorder:
    """Writes events, but no more than Kubernetes should keep; the log has them all.

    Args:
        kubernetes: The API.
        resource: The SocketFleet.
        observer: Counts the events that are not written.
    """

    def __init__(self, kubernetes: Kubernetes, resource: FleetResource, observer: EventObserver) -> None:
        self._kubernetes = kubernetes
        self._resource = resource
        self._observer = observer
        self._left = float(BURST)
        self._left_at = time.monotonic()
        self._written: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def record(self, actions: Sequence[Action], prefix: str = "") -> None:
        """Write an event for each action, except for those that were written a short time ago.

        Args:
            actions: What was done, or is to be reported.
            prefix: Put before each message.
        """
        now = time.monotonic()
        for action in actions:
            message = prefix + action.message
            key = (action.reason, message)
            if now - self._written.get(key, -REPEATED_AFTER) < REPEATED_AFTER:
                continue
            self._written[key] = now
            self._written.move_to_end(key)
            while len(self._written) > REMEMBERED:
                self._written.popitem(last=False)
            resource = self._resource
            log.info(message, fleet=resource.name, namespace=resource.namespace, reason=action.reason)
            if not self._may_write(now, warning=action.warning):
                self._observer.report_suppressed_event()
                continue
            try:
                await self._kubernetes.create_event(resource.namespace, self._make_event(action, message))
            except (Missing, httpx.HTTPError) as error:
                log.warning("event not written", error=type(error).__name__)

    def _may_write(self, now: float, *, warning: bool) -> bool:
        self._left = min(BURST, self._left + (now - self._left_at) / ONE_IN)
        self._left_at = now
        if self._left < (1 if warning else 1 + FOR_WARNINGS):
            return False
        self._left -= 1
        return True

    def _make_event(self, action: Action, message: str) -> Object:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        resource = self._resource
        return {
            "metadata": {"generateName": f"{resource.name}.", "namespace": resource.namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "SocketFleet",
                "namespace": resource.namespace,
                "name": resource.name,
                "uid": resource.uid,
                "resourceVersion": resource.body["metadata"].get("resourceVersion", ""),
            },
            "type": "Warning" if action.warning else "Normal",
            "reason": action.reason,
            "message": message[:LONGEST_MESSAGE],
            "source": {"component": "tradecast-operator"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }

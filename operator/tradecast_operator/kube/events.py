"""Writing events about one SocketFleet, and the log lines with them."""

from __future__ import annotations

import datetime
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

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
log = structlog.stdlib.get_logger("tradecast.operator")


class EventRecorder:
    """Writes events.

    Args:
        kubernetes: The API.
        resource: The SocketFleet.
    """

    def __init__(self, kubernetes: Kubernetes, resource: FleetResource) -> None:
        self._kubernetes = kubernetes
        self._resource = resource
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
            try:
                await self._kubernetes.create_event(resource.namespace, self._make_event(action, message))
            except (Missing, httpx.HTTPError) as error:
                log.warning("event not written", error=type(error).__name__)

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

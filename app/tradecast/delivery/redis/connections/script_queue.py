"""Runs scripts on one partition, many of them in a round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from redis.exceptions import AskError, MovedError, TryAgainError

from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.redis.connections.batch_queue import BatchQueue, is_transient
from tradecast.delivery.redis.connections.endpoints import PartitionEndpoint
from tradecast.delivery.redis.connections.script_connection import Argument, ScriptConnection, ScriptRequest
from tradecast.redis_client.script import Script

MAX_BATCH = 200


class SkipObserver(Protocol):
    """Observes replies that are errors of one request alone; the metrics do."""

    def message_skipped(self, why: str) -> None:
        """Something in Redis was not understood."""
        ...


@dataclass(frozen=True, slots=True)
class FixedRequest:
    """`ScriptRequest` that is the same for every instance of Redis."""

    script: Script
    arguments: Sequence[Argument]

    def encode(self, instance: str) -> tuple[Script, Sequence[Argument]]:
        return self.script, self.arguments


class ScriptQueue:
    """Runs requests in order. Requests that wait for a slot to migrate do not delay the others.

    Args:
        endpoint: Where the partition is.
        timeout: Seconds that one round trip may take; a request may take twice as long.
        observer: Observes replies that are errors of one request alone.
    """

    def __init__(self, endpoint: PartitionEndpoint, timeout: float, observer: SkipObserver) -> None:
        self._observer = observer
        self._usual = _Sender(ScriptConnection(endpoint.connector), passes_moving=True)
        self._usual_queue = _create_queue(self._usual, "requests", endpoint, timeout)
        # What waits for a slot that moves.
        self._moving = _Sender(ScriptConnection(endpoint.connector), passes_moving=False)
        self.moving_queue = _create_queue(self._moving, "moving", endpoint, timeout)

    @property
    def instance(self) -> str:
        """The instance of Redis that requests lead to; "" without a connection, or if it is not known."""
        return self._usual.connection.instance

    def start(self) -> None:
        self._usual_queue.start()
        self.moving_queue.start()

    async def close(self) -> None:
        await self._usual_queue.close()
        await self.moving_queue.close()
        await self._moving.connection.close()
        await self._usual.connection.close()

    async def close_connection(self) -> None:
        """Close the connection; the next request makes a new one."""
        await self._usual.connection.close()

    async def run(self, request: ScriptRequest, size: int = 0) -> Any:
        """Run a request, and return its reply.

        Args:
            request: What to run.
            size: Bytes of its arguments, where they are many.

        Raises:
            AdapterUnavailable: Redis did not answer in time, or refused.
        """
        reply = await self.run_raw(request, size)
        if isinstance(reply, Exception):  # of this request alone: something else lies under its key
            self._observer.message_skipped("malformed entry")
            raise AdapterUnavailable("Redis refuses") from reply
        return reply

    async def run_raw(self, request: ScriptRequest, size: int = 0) -> Any:
        """Like `run`, but an error of this request alone is returned, not raised."""
        reply = await self._usual_queue.run(request, size)
        return await self.moving_queue.run(request, size) if _is_moving(reply) else reply


class _Sender:
    """`BatchSender` over one connection.

    Args:
        connection: The connection.
        passes_moving: Whether the error of a slot that moves is a reply; else the batch is repeated.
    """

    def __init__(self, connection: ScriptConnection, *, passes_moving: bool) -> None:
        self.connection = connection
        self._passes_moving = passes_moving

    async def send_batch(self, batch: Sequence[ScriptRequest], number: int) -> Sequence[Any]:
        replies = await self.connection.run_all(batch)
        for reply in replies:
            if isinstance(reply, Exception) and is_transient(reply):
                if self._passes_moving and _is_moving(reply):
                    continue
                raise reply  # all of it can be repeated
        return replies


def _is_moving(reply: Any) -> bool:
    """Whether a request needs keys that are migrating to another node with their slot."""
    return isinstance(reply, AskError | TryAgainError) and not isinstance(reply, MovedError)


def _create_queue(
    sender: _Sender, what: str, endpoint: PartitionEndpoint, timeout: float
) -> BatchQueue[ScriptRequest, Any]:
    return BatchQueue(
        sender, what=what, place=endpoint.place, timeout=timeout * 2, patience=timeout, max_batch=MAX_BATCH
    )

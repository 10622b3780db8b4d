"""Keeps the clients' recovery states in Redis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tradecast.delivery.broker import RecoveryState
from tradecast.delivery.redis.connections.script_queue import FixedRequest, ScriptQueue
from tradecast.delivery.redis.lua import CLAIM, SESSION
from tradecast.delivery.redis.options import BrokerObserver
from tradecast.delivery.retention import Retention


class Claimed(NamedTuple):
    """A recovery state that is this server's now.

    Attributes:
        state: The state.
        owner: The server that had it before.
        epochs: The epochs in which it was stored.
    """

    state: RecoveryState
    owner: str
    epochs: str


class RecoveryStore:
    """The recovery states whose private ids belong to one partition.

    Args:
        prefix: Of the partition's keys.
        server_id: This server's name; it is the owner of what it stores.
        queue: Runs the scripts.
        retention: How long a state is kept after its last refresh.
        observer: Observes states that are not understood.
    """

    def __init__(
        self, prefix: str, server_id: str, queue: ScriptQueue, retention: Retention, observer: BrokerObserver
    ) -> None:
        self._prefix = prefix
        self._server_id = server_id
        self._queue = queue
        self._keep_ms = round(retention.session_seconds * 1000)
        self._observer = observer

    async def change(self, state: RecoveryState, change: str, *arguments: str | int) -> int:
        """Change a stored state by a subcommand of `SESSION`: 1 done, 0 it is another server's by now, -1 it is gone.

        Raises:
            AdapterUnavailable: Redis did not answer in time, or refused.
        """
        key = f"{self._prefix}s:{state.pid}"
        values = [self._server_id, state.generation, self._keep_ms, change, *arguments]
        return int(await self._queue.run(FixedRequest(SESSION, [1, key, *values])))

    async def claim(self, pid: str, user: str) -> Claimed | None:
        """Claim a state for this server; None if this user has no state with that id.

        Raises:
            AdapterUnavailable: Redis did not answer in time, or refused.
        """
        key = f"{self._prefix}s:{pid}"
        found = await self._queue.run(FixedRequest(CLAIM, [1, key, user, self._server_id, self._keep_ms]))
        fields = {found[i]: found[i + 1] for i in range(0, len(found), 2)}
        try:
            state = _parse_state(pid, fields)
            owner, epochs = (fields[key].decode("ascii", "replace") for key in (b"o", b"e"))
        except (KeyError, ValueError):
            if fields:
                self._observer.message_skipped("malformed session")
            return None
        return Claimed(state, owner, epochs)


def _parse_state(pid: str, fields: Mapping[bytes, bytes]) -> RecoveryState:
    joins = {name[1:].decode(): int(value) for name, value in fields.items() if name[:1] == b"r"}
    confirmed = tuple(int(one) for one in fields[b"p"].split())
    return RecoveryState(
        pid,
        fields[b"u"].decode(),
        fields[b"i"].decode(),
        fields[b"c"].decode(),
        int(fields[b"g"]),
        joins,
        confirmed,
        slow_closes=int(fields.get(b"k", b"0")),  # a server of the version before has not written it
    )

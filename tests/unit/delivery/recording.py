"""The broker in memory, which does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from tradecast.delivery.broker import RecoveryState, Replay
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.retention import Retention

RETENTION = Retention(window=60, dead_after=10, refresh=5, events_per_room=1000)


class RecordingBroker(MemoryBroker):
    """The broker in memory, with a way to be slow, away, or behind.

    Attributes:
        down: What each request raises, while it is set.
        gates: Requests (by name) that wait for these.
        fresh: Whether rooms are listened to only now.
        written: What was done to sessions.
    """

    def __init__(self, retention: Retention = RETENTION) -> None:
        super().__init__(retention)
        self.down: Exception | None = None
        self.gates: dict[str, asyncio.Event] = {}
        self.gated: list[str] = []
        self.fresh = False
        self.away = 0.0
        self.written: list[tuple[str, str]] = []
        self.wanted: set[str] = set()
        self.sid_rooms: set[str] = set()

    @property
    def unreachable_for(self) -> float:  # type: ignore[override]  # a figure there
        return self.away

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())

    async def _through(self, name: str) -> None:
        if name in self.gates:
            self.gated.append(name)
            await self.gates[name].wait()
            self.gated.remove(name)
        if self.down is not None:
            raise self.down

    def subscribe(self, room: str) -> None:
        self.wanted.add(room)

    def unsubscribe(self, room: str) -> None:
        self.wanted.discard(room)

    def subscribe_sid(self, room: str) -> None:
        self.sid_rooms.add(room)

    def unsubscribe_sid(self, room: str) -> None:
        self.sid_rooms.discard(room)

    async def wait_subscribed(self, rooms: Collection[str], sid_rooms: Collection[str] = ()) -> bool:
        assert set(rooms) <= self.wanted
        assert set(sid_rooms) <= self.sid_rooms
        await self._through("listening")
        return self.fresh

    async def read_positions(self, rooms: Collection[str]) -> Mapping[str, int]:
        await self._through("now")
        return await super().read_positions(rooms)

    async def read(self, starts: Mapping[str, int]) -> Replay:
        replay = await super().read(starts)
        await self._through("read")
        return replay

    async def save(self, session: RecoveryState) -> bool:
        await self._through("save")
        self.written.append(("save", session.pid))
        return await super().save(session)

    async def save_join(self, session: RecoveryState, *rooms: str) -> bool:
        await self._through("save_join")
        return await super().save(session)

    async def save_leave(self, session: RecoveryState, room: str) -> bool:
        await self._through("save_leave")
        return await super().save(session)

    async def touch(self, sessions: Sequence[RecoveryState]) -> Sequence[bool]:
        await self._through("touch")
        self.written += [("touch", session.pid) for session in sessions]
        return [await self._touch_one(session) for session in sessions]

    async def _touch_one(self, session: RecoveryState) -> bool:
        kept = self.kept(session.pid)
        if kept is None:
            return await super().save(session)
        if kept.generation > session.generation:
            return False
        kept.confirmed = session.confirmed
        return True

    async def drop(self, session: RecoveryState) -> None:
        await self._through("drop")
        self.written.append(("drop", session.pid))
        await super().drop(session)

    async def claim(self, pid: str, user: str) -> RecoveryState | None:
        await self._through("claim")
        return await super().claim(pid, user)

    def kept(self, pid: str | None) -> RecoveryState | None:
        """What is kept of a client."""
        return self._sessions[pid][0] if pid in self._sessions else None

    def arm(self, epoch: str) -> None:
        """Another history begins."""
        self.epoch = epoch


def kept_rooms(broker: RecordingBroker, pid: str | None) -> Mapping[str, int]:
    """The rooms that are kept of a client, its own left out."""
    kept = broker.kept(pid)
    assert kept is not None
    return {room: position for room, position in kept.joins.items() if room != kept.sid}

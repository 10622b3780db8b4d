"""Events and recovery states of a single server, in its memory: mode `single`."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from tradecast.background.tasks import cancel_and_wait
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.delivery.broker import (
    ControlListener,
    ControlListeners,
    DeliveryListener,
    NullDeliveryListener,
    RecoveryState,
    Replay,
    Snapshot,
)
from tradecast.delivery.envelope import COUNTED, LATEST, Envelope
from tradecast.delivery.ids import Offset, id_span, now_id
from tradecast.delivery.recovery import is_whole, merge_histories
from tradecast.delivery.retention import MAX_KEYS, Retention
from tradecast.delivery.shaping.retained_values import RetainedValues
from tradecast.packets.room_names import is_sid_room

CLEAN_EVERY = 10.0


class RetentionObserver(Protocol):
    """Observes what is retained; the metrics do."""

    def values_retained(self, partition: int, size: int, *, too_large: int, over_budget: int) -> None:
        """So many bytes are retained; so many values and rooms are not, of those just looked at."""
        ...


@dataclass(slots=True)
class _History:
    events: deque[Envelope] = field(default_factory=deque)
    latest: dict[tuple[str, str], Envelope] = field(default_factory=dict)
    # A counted event up to this id is not there any more.
    trimmed: int = 0
    touched: int = 0
    # A latest event up to this id is not there any more.
    lost: int = 0


class MemoryBroker:
    """`Broker` without other servers. Everything is lost when the process ends.

    Args:
        retention: How much is kept, and for how long.
        observer: Observes what is retained.
    """

    is_local = True
    partitions = 1
    unreachable_for = 0.0
    control_channel_down_for = 0.0
    is_subscribed = True
    waiting = 0
    channels = 0
    trouble = redis = other = None

    def __init__(self, retention: Retention, observer: RetentionObserver | None = None) -> None:
        self.retention = retention
        self._observer = observer
        self._retained = RetainedValues(retention.retain)
        self.server_id = secrets.token_hex(8)
        self.epoch: str | None = secrets.token_hex(4)
        self.positions: list[int] = [now_id()]
        # What was published up to here may be forgotten.
        self._forgotten = self.positions[0]
        self._rooms: dict[str, _History] = {}
        self._sessions: dict[str, tuple[RecoveryState, float]] = {}
        self._listener: DeliveryListener = NullDeliveryListener()
        self._control_listeners = ControlListeners()
        self._cleaner: asyncio.Task[None] | None = None

    def tune(self, settings: RuntimeSettings) -> None:
        # What there is too much of a room goes with its next event.
        self.retention = replace(self.retention, events_per_room=settings.history_events)

    def partition_of(self, room: str) -> int:
        return 0

    def translate_offset(self, offset: Offset) -> Offset | None:
        return offset if offset.epoch == self.epoch else None

    def add_control_listener(self, listener: ControlListener) -> None:
        self._control_listeners.add(listener)

    async def start(self, listener: DeliveryListener) -> None:
        self._listener = listener
        self._cleaner = asyncio.create_task(self._clean(), name="history")

    async def close(self) -> None:
        await cancel_and_wait(self._cleaner)

    async def publish(self, envelope: Envelope) -> int:
        envelope.id = self.positions[0] = max(now_id(), self.positions[0] + 1)
        if envelope.kind in (COUNTED, LATEST):
            for room in envelope.rooms:
                history = self._rooms.setdefault(room, _History())
                history.touched = envelope.id
                if envelope.kind == LATEST:
                    self._keep_latest(history, envelope)
                    continue
                history.events.append(envelope)
                while len(history.events) > self.retention.events_per_room:
                    history.trimmed = history.events.popleft().id
        self._listener.deliver(envelope)
        return envelope.id

    async def wait_until_subscribed(self) -> None:
        pass

    def set_eviction(self, may_evict: bool | None) -> None:
        pass

    def give_up(self) -> None:
        pass

    def subscribe(self, room: str) -> None:
        pass

    def unsubscribe(self, room: str) -> None:
        pass

    def subscribe_sid(self, room: str) -> None:
        pass

    def unsubscribe_sid(self, room: str) -> None:
        pass

    async def wait_subscribed(self, rooms: Collection[str], sid_rooms: Collection[str] = ()) -> bool:
        return False

    async def read_positions(self, rooms: Collection[str]) -> Mapping[str, int]:
        return dict.fromkeys(rooms, self.positions[0])

    def has_nothing_of(self, rooms: Collection[str]) -> bool:
        return self._rooms.keys().isdisjoint(rooms) and self._retained.has_none_of(rooms)

    @property
    def has_snapshots(self) -> bool:
        return self.retention.retain.seconds > 0

    async def read_snapshots(self, rooms: Mapping[str, int]) -> Mapping[str, Snapshot]:
        return {room: self._take_snapshot(room, count) for room, count in rooms.items()}

    def _take_snapshot(self, room: str, count: int) -> Snapshot:
        position, history = self.positions[0], self._rooms.get(room)
        retained = self._retained.find(room, max(now_id(), position))
        latest, events = retained.latest, retained.recent
        if history is not None:
            latest, events = {**latest, **history.latest}, (*events, *history.events)
        return Snapshot(position, list(latest.values()), self._retained.select_recent(events, count))

    async def read(self, starts: Mapping[str, int]) -> Replay:
        parts = []
        broken = set()
        for room, start in starts.items():
            history = self._rooms.get(room, _History())
            first = history.events[0].id if history.events else None
            certain = max(history.trimmed, self._forgotten)
            whole = is_whole(start, first, trimmed=False, oldest_certain=certain)
            if not whole or start < history.lost:
                broken.add(room)
            after = [one for one in history.events if one.id > start]
            after.extend(one for one in history.latest.values() if one.id > start or one.state_key is not None)
            parts.append(after)
        return Replay(merge_histories(parts), [self.positions[0]], frozenset(broken))

    # -- recovery states

    async def save(self, session: RecoveryState) -> bool:
        if not self._owns(session):
            return False
        self._keep(session)
        return True

    async def save_join(self, session: RecoveryState, *rooms: str) -> bool:
        return await self.save(session)

    async def save_leave(self, session: RecoveryState, room: str) -> bool:
        return await self.save(session)

    async def touch(self, sessions: Sequence[RecoveryState]) -> Sequence[bool]:
        return [await self.save(session) for session in sessions]

    async def drop(self, session: RecoveryState) -> None:
        if self._owns(session):
            self._sessions.pop(session.pid, None)

    async def claim(self, pid: str, user: str) -> RecoveryState | None:
        saved, deadline = self._sessions.get(pid, (None, 0.0))
        if saved is None or saved.user != user or deadline < asyncio.get_running_loop().time():
            return None
        claimed = saved.copy()
        claimed.generation += 1
        self._keep(claimed)
        self._listener.on_session_claimed(pid, claimed.generation)
        return claimed

    async def send_to_server(self, server_id: str, data: bytes) -> None:
        if server_id == self.server_id:
            self._control_listeners.on_control_message(data)

    async def send_to_all(self, data: bytes) -> None:
        self._control_listeners.on_control_message(data)

    def _owns(self, session: RecoveryState) -> bool:
        saved, _ = self._sessions.get(session.pid, (None, 0.0))
        return saved is None or saved.generation <= session.generation

    def _keep(self, session: RecoveryState) -> None:
        deadline = asyncio.get_running_loop().time() + self.retention.session_seconds
        self._sessions[session.pid] = (session.copy(), deadline)

    def _keep_latest(self, history: _History, envelope: Envelope) -> None:
        key = (envelope.event, envelope.key)
        # The newest are the last ones.
        history.latest.pop(key, None)
        history.latest[key] = envelope
        if len(history.latest) > MAX_KEYS:
            history.lost = history.latest.pop(next(iter(history.latest))).id

    def _forget_room(self, room: str, now: int) -> None:
        history = self._rooms.pop(room)
        self._forgotten = max(self._forgotten, history.touched)
        if not is_sid_room(room):
            self._retained.retain(room, history.latest, history.events, now)

    def _trim(self, oldest: int, now: int) -> None:
        """Drop the history of active rooms that no client needs to recover; what new subscribers get is retained."""
        for room, history in self._rooms.items():
            events, gone = history.events, []
            while events and events[0].id < oldest:
                gone.append(events.popleft())
            if gone:
                history.trimmed = gone[-1].id
                if not is_sid_room(room) and self._retained.select_recent(gone, 1):
                    self._retained.retain(room, {}, gone, now)

    def _report(self) -> None:
        if self._observer is None:
            return
        found = self._retained
        large, found.too_large = found.too_large, 0
        gone, found.over_budget = found.over_budget, 0
        self._observer.values_retained(0, found.size, too_large=large, over_budget=gone)

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(CLEAN_EVERY)
            present = now_id()
            oldest = present - id_span(self.retention.seconds)
            for room in [room for room, history in self._rooms.items() if history.touched < oldest]:
                self._forget_room(room, present)
            self._trim(oldest, present)
            self._retained.expire(present)
            self._report()
            now = asyncio.get_running_loop().time()
            for pid in [pid for pid, (_, deadline) in self._sessions.items() if deadline < now]:
                del self._sessions[pid]

"""What a server knows of one of its clients."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tradecast.delivery.broker import RecoveryState
from tradecast.delivery.envelope import Envelope

Vector = tuple[int, ...]
"""An id for each partition."""
_State = tuple[tuple[str, ...], str, str]
"""Rooms, event and key of a latest event."""


class Client:
    """One client of this server.

    Attributes:
        session: Its recovery state, stored or not.
        own_room: The room that it is itself: its sid, qualified by its namespace.
        stored: Whether its recovery state is stored, so that it can recover.
        no_recovery: Whether it wants no offsets.
        pause_count: How many callers have paused its delivery: while there is one, its events are buffered.
        buffered: The buffered events, each with the positions at that moment; None: no list, which takes memory.
        buffered_states: Of buffered latest events, the newest of each; they carry no offset. None: no dictionary.
        buffered_size: Bytes of all buffered events, roughly.
        replayed_until: What it has got by replay: nothing up to these ids is delivered once more.
        replay_begin: Up to where it has got everything, per partition, as far as the replay was sent.
        replay: What it missed and has not been sent yet.
        is_replay_short: Whether that is not all: its transport is closed behind it, and the next replay has the rest.
        is_replaying: Whether that is being sent, as its link takes it, and then what was buffered meanwhile.
        snapshot: What its rooms had when it joined them, each with the room, until its delivery resumes; None: nothing.
        awaiting_position: Whether it has joined a room at a position that this server has perhaps not reached.
        pinged: The positions when the last heartbeat was sent.
        is_too_slow: Whether its transport is closed because its link takes too little.
        dirty: Whether what is stored of it differs from `session`.
    """

    __slots__ = (
        "awaiting_position",
        "buffered",
        "buffered_size",
        "buffered_states",
        "dirty",
        "eio_sid",
        "is_replay_short",
        "is_replaying",
        "is_too_slow",
        "no_recovery",
        "own_room",
        "pause_count",
        "pinged",
        "replay",
        "replay_begin",
        "replayed_until",
        "session",
        "snapshot",
        "stored",
    )

    def __init__(self, eio_sid: str, session: RecoveryState, own_room: str, *, no_recovery: bool) -> None:
        self.eio_sid = eio_sid
        self.own_room = own_room
        self.session = session
        self.no_recovery = no_recovery
        self.stored = False
        self.dirty = False
        self.awaiting_position = False
        self.pause_count = 0
        self.buffered: deque[tuple[Envelope, Vector]] | None = None
        self.buffered_states: dict[_State, Envelope] | None = None
        self.buffered_size = 0
        self.replayed_until: Vector = ()
        self.replay_begin: Vector = ()
        self.replay: deque[Envelope] | None = None
        self.is_replay_short = False
        self.is_replaying = False
        self.is_too_slow = False
        self.pinged: Vector = ()
        self.snapshot: list[tuple[str, Envelope]] | None = None

    def with_replay(self, vector: Vector) -> Vector:
        """Positions of the server as an offset of this client, whose replay may be ahead of them."""
        return tuple(map(max, vector, self.replayed_until)) if self.replayed_until else vector

    def buffer(self, envelope: Envelope, positions: Vector) -> int:
        """Buffer an event; the newest latest event replaces an older one. Returns the number of buffered events."""
        if envelope.state_key is not None and not envelope.skip and not envelope.except_rooms:
            states = self.buffered_states = self.buffered_states or {}
            # By all of its rooms: the client may leave one of them before it is sent.
            name = tuple(envelope.rooms), envelope.event, envelope.key
            older = states.get(name)
            self.buffered_size += envelope.size - (0 if older is None else older.size)
            states[name] = envelope
        else:
            buffered = self.buffered = self.buffered if self.buffered is not None else deque()
            if self.buffered_states:
                self._order_older(self.buffered_states, envelope, positions)
            buffered.append((envelope, positions))
            self.buffered_size += envelope.size
        return len(self.buffered or ()) + len(self.buffered_states or ())

    def _order_older(self, states: dict[_State, Envelope], newer: Envelope, positions: Vector) -> None:
        """A publisher has mixed kinds: what is buffered of the same state goes before the one that stays in order."""
        for name, older in list(states.items()):
            same = (older.event, older.key) == (newer.event, newer.key)
            if same and not set(newer.rooms).isdisjoint(older.rooms) and self.buffered is not None:
                self.buffered.append((states.pop(name), positions))

    def count_slow_close(self) -> None:
        """Count that its transport is closed because its network is too slow; once for a connection."""
        if not self.is_too_slow:
            self.is_too_slow = True
            self.session.slow_closes += 1
            self.dirty = self.stored

    def confirm(self) -> None:
        """Note that it has received everything that was sent before the last heartbeat."""
        if self.pinged:
            self.session.confirmed = self.pinged
            if self.session.slow_closes and not self.is_too_slow:  # its link takes enough after all
                self.session.slow_closes = 0
                self.dirty = self.stored

    def drop_unsent(self) -> None:
        """Drop what has not been sent to it: its connection ends, and the next one replays it."""
        self.buffered = self.buffered_states = self.replay = self.snapshot = None
        self.buffered_size = 0
        self.is_replaying = False

    def cut(self, partition_of: Callable[[str], int], partition: int, top: int) -> None:
        """Discard its position in a partition beyond this id: see `DeliveryListener.on_epoch_change`."""
        self.session.cut(partition_of, partition, top)
        self.pinged = ()
        self.replayed_until = _cut_vector(self.replayed_until, partition, top)
        self.replay_begin = _cut_vector(self.replay_begin, partition, top)
        # An id of before, with the new epoch, would hide events of the new history.
        if self.buffered:
            self.buffered = deque((envelope, _cut_vector(vector, partition, top)) for envelope, vector in self.buffered)


def _cut_vector(vector: Vector, partition: int, top: int) -> Vector:
    if not vector:
        return vector
    return (*vector[:partition], min(vector[partition], top), *vector[partition + 1 :])

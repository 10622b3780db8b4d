"""What a server knows of one of its clients."""

from __future__ import annotations

from collections.abc import Callable

from tradecast.delivery.broker import RecoveryState
from tradecast.delivery.envelope import Envelope

Vector = tuple[int, ...]
"""An id for each partition."""


class Client:
    """One client of this server.

    Attributes:
        session: Its recovery state, stored or not.
        own_room: The room that it is itself: its sid, qualified by its namespace.
        stored: Whether its recovery state is stored, so that it can recover.
        no_recovery: Whether it wants no offsets.
        pause_count: How many callers have paused its delivery: while there is one, its events are buffered.
        buffered: The buffered events, each with the positions at that moment; None: no list, which takes memory.
        replayed_until: What it has got by replay: nothing up to these ids is delivered once more.
        replay_begin: Where the replay begins, per partition.
        replay: What it missed, to be sent when its delivery starts.
        awaiting_position: Whether it has joined a room at a position that this server has perhaps not reached.
        pinged: The positions when the last heartbeat was sent.
        dirty: Whether what is stored of it differs from `session`.
    """

    __slots__ = (
        "awaiting_position",
        "buffered",
        "dirty",
        "eio_sid",
        "no_recovery",
        "own_room",
        "pause_count",
        "pinged",
        "replay",
        "replay_begin",
        "replayed_until",
        "session",
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
        self.buffered: list[tuple[Envelope, Vector]] | None = None
        self.replayed_until: Vector = ()
        self.replay_begin: Vector = ()
        self.replay: list[Envelope] | None = None
        self.pinged: Vector = ()

    def with_replay(self, vector: Vector) -> Vector:
        """Positions of the server as an offset of this client, whose replay may be ahead of them."""
        return tuple(map(max, vector, self.replayed_until)) if self.replayed_until else vector

    def cut(self, partition_of: Callable[[str], int], partition: int, top: int) -> None:
        """Count on nothing in a partition beyond this id: see `DeliveryListener.on_epoch_change`."""
        self.session.cut(partition_of, partition, top)
        self.pinged = ()
        self.replayed_until = _cut(self.replayed_until, partition, top)
        self.replay_begin = _cut(self.replay_begin, partition, top)
        # An id of before, with the new epoch, would hide events of the new history.
        if self.buffered:
            self.buffered = [(envelope, _cut(vector, partition, top)) for envelope, vector in self.buffered]


def _cut(vector: Vector, partition: int, top: int) -> Vector:
    if not vector:
        return vector
    return (*vector[:partition], min(vector[partition], top), *vector[partition + 1 :])

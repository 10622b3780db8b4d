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
        session: What is (or would be) kept of it.
        own: The room that it is itself: its sid, qualified by its namespace.
        stored: Whether it is kept, so that the client can recover.
        plain: Whether it wants no offsets.
        holds: For how many reasons events are held back from it now.
        held: The events held back, each with the positions at that moment; None: no list, which takes memory.
        until: What it has got by replay: nothing up to these ids is delivered once more.
        begin: Where the replay begins, per partition.
        replay: What it missed, to be sent when it goes.
        settling: Whether it has joined a room at a position that this server has perhaps not reached.
        pinged: The positions when the last heartbeat was sent.
        dirty: Whether what is kept of it differs from `session`.
    """

    __slots__ = (
        "begin",
        "dirty",
        "eio_sid",
        "held",
        "holds",
        "own",
        "pinged",
        "plain",
        "replay",
        "session",
        "settling",
        "stored",
        "until",
    )

    def __init__(self, eio_sid: str, session: RecoveryState, own: str, *, plain: bool) -> None:
        self.eio_sid = eio_sid
        self.own = own
        self.session = session
        self.plain = plain
        self.stored = False
        self.dirty = False
        self.settling = False
        self.holds = 0
        self.held: list[tuple[Envelope, Vector]] | None = None
        self.until: Vector = ()
        self.begin: Vector = ()
        self.replay: list[Envelope] | None = None
        self.pinged: Vector = ()

    def with_replay(self, vector: Vector) -> Vector:
        """Positions of the server as an offset of this client, whose replay may be ahead of them."""
        return tuple(map(max, vector, self.until)) if self.until else vector

    def cut(self, partition_of: Callable[[str], int], partition: int, top: int) -> None:
        """Count on nothing in a partition beyond this id: see `Listener.on_epoch_change`."""
        self.session.cut(partition_of, partition, top)
        self.pinged = ()
        self.until = _cut(self.until, partition, top)
        self.begin = _cut(self.begin, partition, top)
        # An id of before, with the new epoch, would hide events of the new history.
        if self.held:
            self.held = [(envelope, _cut(vector, partition, top)) for envelope, vector in self.held]


def _cut(vector: Vector, partition: int, top: int) -> Vector:
    if not vector:
        return vector
    return (*vector[:partition], min(vector[partition], top), *vector[partition + 1 :])

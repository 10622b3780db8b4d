"""What carries events and sessions between servers, as the hub above sees it. Implementations: memory, Redis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tradecast.delivery.envelope import Envelope
from tradecast.delivery.ids import Offset
from tradecast.runtime_config.tuning import Tuning


@dataclass(slots=True)
class SavedSession:
    """What is kept of a client so that it can go on elsewhere. It outlives the server that holds the connection.

    Attributes:
        pid: The private id by which the client claims it; a secret.
        user: Whose it is; only the same user can claim it.
        sid: Its Socket.IO id, kept over recoveries.
        connection_id: Its id in logs and quotas, kept as well.
        generation: Raised with each claim, so that an earlier owner cannot write any more.
        joins: Its rooms, each with the position at which it was joined.
        confirmed: Up to which ids, per partition, the client is known to have received everything.
        epochs: The broker's own note, of which epochs what it has stored is.
    """

    pid: str
    user: str
    sid: str
    connection_id: str
    generation: int = 0
    joins: dict[str, int] = field(default_factory=dict)
    confirmed: tuple[int, ...] = ()
    epochs: str = field(default="", compare=False)

    def copy(self) -> SavedSession:
        """Another one with the same content, which does not change with this one."""
        return SavedSession(
            *(self.pid, self.user, self.sid, self.connection_id, self.generation),
            joins=self.joins.copy(),
            confirmed=self.confirmed,
            epochs=self.epochs,
        )

    def cut(self, partition_of: Callable[[str], int], partition: int, top: int) -> None:
        """Count on nothing in a partition beyond this id: the history goes on from there."""
        for room, position in self.joins.items():
            if position > top and partition_of(room) == partition:
                self.joins[room] = top
        if self.confirmed and self.confirmed[partition] > top:
            self.confirmed = (*self.confirmed[:partition], top, *self.confirmed[partition + 1 :])


@dataclass(slots=True)
class Replay:
    """What was published in some rooms since a position each.

    Attributes:
        envelopes: By rising id within a partition; each once.
        positions: Up to which ids, per partition, this is all there is; None for partitions that were not read.
        broken: Rooms of which something is missing.
    """

    envelopes: list[Envelope]
    positions: Sequence[int | None]
    broken: frozenset[str] = frozenset()


class Listener(Protocol):
    """Whom a broker tells."""

    def deliver(self, envelope: Envelope) -> None:
        """Bring an event to this server's clients. Ids rise within a partition."""
        ...

    def broken(self, rooms: Collection[str]) -> None:
        """Events of these rooms were missed and cannot be read back."""
        ...

    def switched(self, partition: int, top: int) -> None:
        """The history of a partition goes on from this id: what was published after it is gone, or everything is."""
        ...

    def displaced(self, pid: str, generation: int) -> None:
        """Another server has claimed this session; what is here of an earlier generation is over."""
        ...

    def told(self, data: bytes) -> None:
        """A server, perhaps this one, has told this: see `Broker.tell`."""
        ...


class Broker(Protocol):
    """Publishing, interest in rooms, history, and sessions.

    Every method that waits raises `AdapterUnavailable` where the broker cannot be reached in time.
    """

    @property
    def is_local(self) -> bool:
        """Whether all of it is in this process's memory, and no method waits for anything."""
        ...

    @property
    def server_id(self) -> str:
        """This server's name among the others, another one for each start."""
        ...

    @property
    def partitions(self) -> int:
        """How many independent orders of events there are."""
        ...

    @property
    def positions(self) -> Sequence[int]:
        """Up to which ids, per partition, all that concerns this server has been delivered."""
        ...

    @property
    def epoch(self) -> str | None:
        """Which history this is; None while that is not known."""
        ...

    @property
    def away_for(self) -> float:
        """Seconds for which the broker has not been reachable; 0 while it is."""
        ...

    @property
    def untold_for(self) -> float:
        """Seconds for which what other servers tell has not come here; 0 while it does."""
        ...

    def tune(self, tuning: Tuning) -> None:
        """Go on with other figures. Nothing is lost or repeated by that."""
        ...

    def partition_of(self, room: str) -> int: ...

    def valid(self, offset: Offset) -> Offset | None:
        """An offset in the present epoch; None if it says nothing about that."""
        ...

    async def start(self, listener: Listener) -> None: ...

    async def close(self) -> None: ...

    def give_up(self) -> None:
        """Let no event wait for a broker that does not take any: this server shuts down."""
        ...

    async def publish(self, envelope: Envelope) -> int:
        """Give an event to all servers with members in its rooms; its id.

        Raises:
            PublishUncertain: It may have been published, or not.
            AdapterUnavailable: It has not been published.
        """
        ...

    def want(self, room: str) -> None:
        """There are members here now."""
        ...

    def unwant(self, room: str) -> None:
        """There are none any more."""
        ...

    def want_sid(self, room: str) -> None:
        """A client is here whose own room (its sid) this is. There is no channel for each."""
        ...

    def unwant_sid(self, room: str) -> None:
        """It is not any more."""
        ...

    async def listening(self, rooms: Collection[str], sid_rooms: Collection[str] = ()) -> bool:
        """Wait until events of these (wanted) rooms, and of clients' own, come here; False if that was so already."""
        ...

    async def now(self, rooms: Collection[str]) -> Mapping[str, int]:
        """The last id published so far in each of these rooms' partitions."""
        ...

    async def read(self, starts: Mapping[str, int]) -> Replay:
        """What was published in each room after a position."""
        ...

    async def save(self, session: SavedSession) -> bool:
        """Store a session whole; False if it is another server's by now."""
        ...

    async def save_join(self, session: SavedSession, room: str) -> bool:
        """Store that a session has joined a room (at `session.joins[room]`); returns as `save`."""
        ...

    async def save_leave(self, session: SavedSession, room: str) -> bool:
        """Store that a session has left a room; returns as `save`."""
        ...

    async def touch(self, sessions: Sequence[SavedSession]) -> Sequence[bool]:
        """Keep sessions, with their `confirmed` positions; each returns as `save`."""
        ...

    async def drop(self, session: SavedSession) -> None:
        """Forget a session for good."""
        ...

    async def claim(self, pid: str, user: str) -> SavedSession | None:
        """Make a session this server's; None if there is none of this user. Can be repeated."""
        ...

    async def tell(self, server_id: str, data: bytes) -> None:
        """Tell one server something, now or never: it may come twice, or not at all if that server does not listen."""
        ...

    async def tell_all(self, data: bytes) -> None:
        """As `tell`, to all servers; this one may hear it as well."""
        ...

"""The interface of what carries events and recovery states between servers. Implementations: memory, Redis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.delivery.envelope import Envelope
from tradecast.delivery.ids import Offset
from tradecast.redis_client.client import RedisClient


@dataclass(slots=True)
class RecoveryState:
    """What is stored of a client so that it can recover elsewhere. It outlives the server that holds the connection.

    Attributes:
        pid: The private id by which the client claims it; a secret.
        user: Whose it is; only the same user can claim it.
        sid: Its Socket.IO id, kept over recoveries.
        connection_id: Its id in logs and quotas, kept as well.
        generation: Raised with each claim, so that an earlier owner cannot write any more.
        joins: Its rooms, each with the position at which it was joined.
        confirmed: Up to which ids, per partition, the client is known to have received everything.
        epochs: The broker's own note, of which epochs what it has stored is.
        slow_closes: How many times in a row its transport was closed because its link took too little.
    """

    pid: str
    user: str
    sid: str
    connection_id: str
    generation: int = 0
    joins: dict[str, int] = field(default_factory=dict)
    confirmed: tuple[int, ...] = ()
    epochs: str = field(default="", compare=False)
    slow_closes: int = 0

    def copy(self) -> RecoveryState:
        """Another one with the same content, which does not change with this one."""
        return RecoveryState(
            *(self.pid, self.user, self.sid, self.connection_id, self.generation),
            joins=self.joins.copy(),
            confirmed=self.confirmed,
            slow_closes=self.slow_closes,
            epochs=self.epochs,
        )

    def cut(self, partition_of: Callable[[str], int], partition: int, top: int) -> None:
        """Discard what is known of a partition beyond this id: the history continues from there."""
        for room, position in self.joins.items():
            if position > top and partition_of(room) == partition:
                self.joins[room] = top
        if self.confirmed and self.confirmed[partition] > top:
            self.confirmed = (*self.confirmed[:partition], top, *self.confirmed[partition + 1 :])


@dataclass(slots=True)
class Replay:
    """What was published in some rooms since a position each, and the newest of each latest key, whatever its id.

    Attributes:
        envelopes: By rising id within a partition; each once.
        positions: Up to which ids, per partition, this is all there is; None for partitions that were not read.
        broken: Rooms of which something is missing.
    """

    envelopes: list[Envelope]
    positions: Sequence[int | None]
    broken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a room has for those who join it, all read at the same instant.

    Attributes:
        position: The last id published in its partition: what is live has a higher one.
        latest: The newest of each event and key of which the latest wins.
        recent: The newest counted events that are kept, by rising id.
    """

    position: int
    latest: Sequence[Envelope] = ()
    recent: Sequence[Envelope] = ()


class DeliveryListener(Protocol):
    """Receives what a broker has for this server's clients: the hub."""

    def deliver(self, envelope: Envelope) -> None:
        """Deliver an event to this server's clients. Ids rise within a partition."""
        ...

    def on_history_gap(self, rooms: Collection[str]) -> None:
        """Events of these rooms were missed and cannot be replayed from the history."""
        ...

    def on_epoch_change(self, partition: int, top: int) -> None:
        """A partition begins a new epoch at this id: what was published after it is lost, or all history is."""
        ...

    def on_session_claimed(self, pid: str, generation: int) -> None:
        """Another server has claimed this recovery state: end the connection that has an earlier generation of it."""
        ...


class NullDeliveryListener:
    """`DeliveryListener` of a broker that is not started."""

    def deliver(self, envelope: Envelope) -> None:
        """Ignore it."""

    def on_history_gap(self, rooms: Collection[str]) -> None:
        """Ignore it."""

    def on_epoch_change(self, partition: int, top: int) -> None:
        """Ignore it."""

    def on_session_claimed(self, pid: str, generation: int) -> None:
        """Ignore it."""


class ControlListener(Protocol):
    """Receives control messages: cluster requests do."""

    def on_control_message(self, data: bytes) -> None:
        """A control message has come from a server, perhaps from this one: see `Broker.send_to_server`."""
        ...


class ControlListeners:
    """The control listeners of a broker, as one."""

    def __init__(self) -> None:
        self._listeners: list[ControlListener] = []

    def add(self, listener: ControlListener) -> None:
        """Add a listener that receives control messages."""
        self._listeners.append(listener)

    def on_control_message(self, data: bytes) -> None:
        """Pass a message on to every listener."""
        for listener in self._listeners:
            listener.on_control_message(data)


class SecondWriter(Protocol):
    """Publishes to the Redis of the other mode as well: `RedisWriter`."""

    @property
    def redis(self) -> RedisClient:
        """The client of the Redis that it publishes to."""
        ...

    @property
    def waiting(self) -> int:
        """Events that wait to be published."""
        ...


class Broker(Protocol):
    """Publishes events, subscribes to rooms, and keeps the history and the clients' recovery state.

    Every method that waits raises `AdapterUnavailable` where the broker cannot be reached in time.
    """

    @property
    def is_local(self) -> bool:
        """True if everything is in this process's memory: no method waits for I/O."""
        ...

    @property
    def server_id(self) -> str:
        """This server's name in the fleet; every start makes a new one."""
        ...

    @property
    def partitions(self) -> int:
        """Number of partitions. Events are ordered within one, not between two."""
        ...

    @property
    def positions(self) -> Sequence[int]:
        """Per partition, the id up to which all events for this server have been delivered."""
        ...

    @property
    def epoch(self) -> str | None:
        """The epoch of the history; None until Redis has answered.

        An epoch ends where events may be lost (a failover, an empty Redis): offsets of an older one say nothing.
        """
        ...

    @property
    def unreachable_for(self) -> float:
        """Seconds since the broker became unreachable; 0 while it is reachable."""
        ...

    @property
    def control_channel_down_for(self) -> float:
        """Seconds since the subscription to the control channel was lost; 0 while subscribed."""
        ...

    @property
    def is_subscribed(self) -> bool:
        """Whether this server receives events and control messages of other servers; True if there are no others."""
        ...

    @property
    def trouble(self) -> Exception | None:
        """Why it does not receive them; None: it does, or the reason is unknown."""
        ...

    @property
    def waiting(self) -> int:
        """Events that wait to be published."""
        ...

    @property
    def channels(self) -> int:
        """Channels that are subscribed to."""
        ...

    @property
    def redis(self) -> RedisClient | None:
        """The client of the Redis that carries the events; None for memory."""
        ...

    @property
    def other(self) -> SecondWriter | None:
        """Publishes to the other mode's Redis as well; None without one."""
        ...

    def tune(self, settings: RuntimeSettings) -> None:
        """Apply other run-time settings. No event is lost or duplicated by that."""
        ...

    def partition_of(self, room: str) -> int: ...

    def translate_offset(self, offset: Offset) -> Offset | None:
        """Translate an offset to the current epoch; None if the history it refers to is lost."""
        ...

    def add_control_listener(self, listener: ControlListener) -> None:
        """Add a listener that receives control messages from now on."""
        ...

    async def start(self, listener: DeliveryListener) -> None:
        """Start, and deliver events to this listener. Returns at once."""
        ...

    async def wait_until_subscribed(self) -> None:
        """Wait until this server receives events and control messages of other servers."""
        ...

    def set_eviction(self, may_evict: bool | None) -> None:
        """Set whether Redis evicts keys, as it reports itself; None: unknown."""
        ...

    async def close(self) -> None: ...

    def give_up(self) -> None:
        """Stop retrying events that Redis does not accept, because this server shuts down."""
        ...

    async def publish(self, envelope: Envelope) -> int:
        """Publish an event to all servers that have members of its rooms; returns its id.

        Raises:
            PublishUncertain: It may have been published, or not.
            AdapterUnavailable: It has not been published.
        """
        ...

    def subscribe(self, room: str) -> None:
        """Subscribe to a room that has members on this server now. Returns before Redis has confirmed it."""
        ...

    def unsubscribe(self, room: str) -> None:
        """Unsubscribe from a room that has no members on this server any more."""
        ...

    def subscribe_sid(self, room: str) -> None:
        """Subscribe to the room of a client of this server (its sid). All such rooms share one channel."""
        ...

    def unsubscribe_sid(self, room: str) -> None:
        """Unsubscribe from the room of a client that has left."""
        ...

    async def wait_subscribed(self, rooms: Collection[str], sid_rooms: Collection[str] = ()) -> bool:
        """Wait until the subscriptions to these rooms are confirmed; False if they all were before."""
        ...

    async def read_positions(self, rooms: Collection[str]) -> Mapping[str, int]:
        """Read the last published id of each of these rooms' partitions."""
        ...

    def has_nothing_of(self, rooms: Collection[str]) -> bool:
        """Whether it is known without a request to Redis that these rooms have no snapshots."""
        ...

    @property
    def has_snapshots(self) -> bool:
        """Whether values are retained for those who join later: RETAIN_SECONDS."""
        ...

    async def read_snapshots(self, rooms: Mapping[str, int]) -> Mapping[str, Snapshot]:
        """Read what is retained of each room, and its partition's position. A client's own room has only the latter.

        Args:
            rooms: Each with the number of recent counted events that are asked for; 0: none.
        """
        ...

    async def read(self, starts: Mapping[str, int]) -> Replay:
        """Read the events of each room after a position, and the newest of each latest key, whatever its id."""
        ...

    async def save(self, session: RecoveryState) -> bool:
        """Store a recovery state; False if another server has claimed it meanwhile."""
        ...

    async def save_join(self, session: RecoveryState, *rooms: str) -> bool:
        """Store that a client has joined rooms (each at `session.joins[room]`); returns as `save`."""
        ...

    async def save_leave(self, session: RecoveryState, room: str) -> bool:
        """Store that a client has left a room; returns as `save`."""
        ...

    async def touch(self, sessions: Sequence[RecoveryState]) -> Sequence[bool]:
        """Extend the TTL of recovery states and store their `confirmed` positions; each returns as `save`."""
        ...

    async def drop(self, session: RecoveryState) -> None:
        """Delete a recovery state."""
        ...

    async def claim(self, pid: str, user: str) -> RecoveryState | None:
        """Claim a recovery state for this server; None if this user has none by that id. Idempotent."""
        ...

    async def send_to_server(self, server_id: str, data: bytes) -> None:
        """Send a control message to one server. Fire and forget: it may be duplicated or lost."""
        ...

    async def send_to_all(self, data: bytes) -> None:
        """Send a control message to all servers, this one included. Fire and forget."""
        ...

"""A partition, as a server uses it: it subscribes, replays events after a gap, and delivers each event once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping

from tradecast.background.tasks import cancel_and_wait
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.delivery.broker import ControlListener, DeliveryListener, NullDeliveryListener
from tradecast.delivery.envelope import Envelope, Origin, decode_envelope
from tradecast.delivery.errors import AdapterUnavailable, HistoryLost
from tradecast.delivery.redis.connections.endpoints import PartitionEndpoint
from tradecast.delivery.redis.control_channel import ControlChannel
from tradecast.delivery.redis.cursor import PartitionCursor
from tradecast.delivery.redis.history import Found, HistoryReader
from tradecast.delivery.redis.options import BrokerObserver, PartitionConfig
from tradecast.delivery.redis.recovery_store import Claimed, RecoveryStore
from tradecast.delivery.redis.repair import GapRepair
from tradecast.delivery.redis.retained.keeper import RetentionKeeper
from tradecast.delivery.redis.retained.reader import SnapshotReader
from tradecast.delivery.redis.writer import PartitionWriter
from tradecast.delivery.retention import Retention
from tradecast.observability.logger import get_logger

# Publishers whose last event is remembered.
MAX_PRODUCERS = 10_000
log = get_logger("tradecast.adapter")


class RedisPartition(ControlChannel):
    """A partition: its rooms' channels, their history, and the recovery states that belong to it.

    Attributes:
        number: Which partition it is.
        writer: Publishes into it.
        history: Reads its events back.
        store: Keeps recovery states.
        snapshots: Reads what its rooms have for those who join them.

    Args:
        endpoint: Where it is.
        retention: How much is kept, and for how long.
        config: How to talk to Redis.
        observer: Observes messages, lag and what becomes of events.
        control: Receives control messages.
        server_id: This process's name; every start has another one.
        number: As above.
        partitions: How many there are.
    """

    def __init__(
        self,
        endpoint: PartitionEndpoint,
        retention: Retention,
        config: PartitionConfig,
        observer: BrokerObserver,
        control: ControlListener,
        *,
        server_id: str,
        number: int = 0,
        partitions: int = 1,
    ) -> None:
        cursor = PartitionCursor()
        self._direct_channel = f"{endpoint.prefix}d".encode()
        super().__init__(
            endpoint, config, observer, cursor, control, server_id=server_id, channels=[self._direct_channel]
        )
        self.number = number
        self._patience = config.timeout
        self._room_channels = f"{self.prefix}r:".encode()
        # Rooms that clients of this server are themselves.
        self._sid_rooms: set[str] = set()
        self._last_numbers: OrderedDict[bytes, int] = OrderedDict()
        self.writer = PartitionWriter(endpoint, retention, config, observer, cursor)
        self.history = HistoryReader(endpoint, self.queue, retention, cursor, observer)
        self.store = RecoveryStore(self.prefix, server_id, self.queue, retention, observer)
        self.snapshots = SnapshotReader(endpoint, self.queue, retention, cursor, self, observer)
        self._keeper = RetentionKeeper(endpoint, self.queue, retention, observer, partitions=partitions, number=number)
        self._keeping: asyncio.Task[None] | None = None
        self._repair = GapRepair(cursor, self, self)
        self._listener: DeliveryListener = NullDeliveryListener()

    @property
    def channels(self) -> int:
        """Channels that are subscribed to."""
        return len(self.subscription)

    def tune(self, settings: RuntimeSettings) -> None:
        super().tune(settings)
        self.writer.tune(settings)

    def deliver_to(self, listener: DeliveryListener) -> None:
        """Start, and deliver events to this listener."""
        self._listener = listener
        self.writer.start()
        self.start()
        self._keeping = asyncio.create_task(self._keeper.run(), name="retention")

    async def close(self) -> None:
        await cancel_and_wait(self._keeping)
        await self.writer.close()
        await super().close()

    # -- rooms

    def subscribe(self, room: str) -> None:
        self.subscription.subscribe(self._room_channels + room.encode())

    def unsubscribe(self, room: str) -> None:
        self.subscription.unsubscribe(self._room_channels + room.encode())

    def subscribe_sid(self, room: str) -> None:
        self._sid_rooms.add(room)

    def unsubscribe_sid(self, room: str) -> None:
        self._sid_rooms.discard(room)

    async def wait_subscribed(self, rooms: Collection[str]) -> bool:
        """See `Broker.wait_subscribed`. The channel of the clients' own rooms is always subscribed to."""
        channels = [self._room_channels + room.encode() for room in rooms] + [self._direct_channel]
        if self._is_live and all(map(self.subscription.is_subscribed, channels)):
            return False
        if not self.subscription.connected:
            raise AdapterUnavailable("Redis is away")
        try:
            async with asyncio.timeout(self._patience):
                await self.live.wait()
                await self.subscription.wait_subscribed(channels)
        except (TimeoutError, OSError):
            raise AdapterUnavailable("Redis did not confirm a subscription in time") from None
        return True

    async def read(self, starts: Mapping[str, int]) -> Found:
        """Read the events of each room after a position, and the newest of each latest key, whatever its id.

        Raises:
            HistoryLost: Redis has another history by now.
            AdapterUnavailable: Redis did not answer in time.
        """
        return await self._read(starts, whole_state=True)

    async def read_missed(self, starts: Mapping[str, int]) -> Found:
        """Read the events of each room after a position (`History`); raises as `read`."""
        return await self._read(starts, whole_state=False)

    async def _read(self, starts: Mapping[str, int], *, whole_state: bool) -> Found:
        try:
            return await self.history.read(starts, whole_state=whole_state)
        except HistoryLost:
            await self.subscription.drop()  # the next one finds out what is left
            raise

    # -- events in

    def handle(self, channel: bytes, data: bytes) -> None:
        if channel.startswith(self._room_channels):
            head, start = self.read_head(data)
            room = channel[len(self._room_channels) :].decode()
            envelope = decode_envelope(data[start:], room, head.id, head.origin)
        elif channel == self._direct_channel:
            head, start = self.read_head(data)
            envelope = decode_envelope(data[start:], None, head.id, head.origin)
        else:
            super().handle(channel, data)
            return
        if self._is_live:
            self.deliver_once(envelope)
        else:
            self._repair.buffer(envelope)

    def deliver_once(self, envelope: Envelope) -> None:
        """Deliver an event to this server's clients, unless it was before."""
        if envelope.id <= self.cursor.position:  # it came through another of its rooms, or was replayed
            return
        self.cursor.position = envelope.id
        if envelope.origin is None or self._is_first(envelope.origin):
            self._listener.deliver(envelope)

    def _is_first(self, origin: Origin) -> bool:
        """Whether an event comes for the first time, and not again with another id."""
        last = self._last_numbers
        if origin.number <= last.get(origin.producer, 0):
            return False
        last[origin.producer] = origin.number
        last.move_to_end(origin.producer)
        if len(last) > MAX_PRODUCERS:
            last.popitem(last=False)
        return True

    def on_lost(self) -> None:
        self._repair.clear()
        super().on_lost()

    async def catch_up(self) -> None:
        """Replay the missed events, deliver them and what has come since, and be live."""
        is_first = not self._was_live
        rooms = self.subscription.subscribed_below(self._room_channels)
        starts = dict.fromkeys([*(room.decode() for room in rooms), *self._sid_rooms], self.cursor.position)
        repaired = await self._repair.run(starts)
        self.set_live()
        if not is_first:
            self._observer.gap_repaired(repaired.read_back)
        log.info(
            "subscribed to the other servers", partition=self.number, read_back=repaired.read_back, rooms=len(rooms)
        )
        if repaired.broken:
            self._listener.on_history_gap(repaired.broken)

    def on_epoch_change(self, top: int) -> None:
        self._listener.on_epoch_change(self.number, top)

    # -- recovery states

    def on_session_claimed(self, pid: str, generation: int) -> None:
        self._listener.on_session_claimed(pid, generation)

    async def claim(self, pid: str, user: str) -> Claimed | None:
        """Claim a recovery state, and notify the server that had it. Raises AdapterUnavailable."""
        claimed = await self.store.claim(pid, user)
        if claimed is None:
            return None
        generation = claimed.state.generation
        if claimed.owner != self._server_id:
            await self.send_hint(claimed.owner, f"claimed {pid} {generation}")
        else:
            self._listener.on_session_claimed(pid, generation)
        return claimed

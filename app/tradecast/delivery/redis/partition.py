"""One order of events in Redis: a clock, the streams of some rooms, their channels, and sessions."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from redis.exceptions import AskError, MovedError, TryAgainError

from tradecast.background.tasks import cancel_and_wait
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.delivery.broker import Listener, RecoveryState
from tradecast.delivery.envelope import (
    COUNTED,
    LATEST,
    Envelope,
    Head,
    Malformed,
    Origin,
    UnknownVersion,
    decode,
    read_head,
    read_origin,
)
from tradecast.delivery.errors import AdapterUnavailable, BegunAnew, HistoryLost, PublishUncertain
from tradecast.delivery.ids import now_id, seconds
from tradecast.delivery.recovery import is_as_noted, is_whole, merge
from tradecast.delivery.redis.connections.batch_queue import BatchQueue, will_pass
from tradecast.delivery.redis.connections.endpoints import PartitionEndpoint
from tradecast.delivery.redis.connections.pubsub_connection import open_pubsub_connection
from tradecast.delivery.redis.connections.script_connection import ScriptConnection
from tradecast.delivery.redis.connections.subscription import Subscription
from tradecast.delivery.redis.lua import CLAIM, LOOK, MAX_SKEW_MS, READ, SESSION
from tradecast.delivery.retention import Retention
from tradecast.observability.logger import get_logger
from tradecast.packets.rooms import is_sid_room
from tradecast.redis_client.script import Script

TICK_EVERY = 1.0
# A subscriber that hears none of so many ticks, while Redis takes them, is deaf.
DEAF_AFTER = 5
# Rooms that are read in one call.
ROOMS_PER_READ = 50
MAX_HELD = 100_000
# Clocks of hosts are not further apart than the scripts believe.
LEAP = seconds(MAX_SKEW_MS / 1000)
# Publishers whose last event is remembered.
MAX_PRODUCERS = 10_000
# In the place of a server's name in a channel: every server listens to it.
ALL = "all"
# Behind the kind of an event of which one of the rooms may be a client.
DIRECT = "D"
# An event as it goes to the script: its producer's number, what comes before the body, the body; and the event itself.
_Encoded = tuple[int, tuple[str | int | bytes, ...], bytes, Envelope]
# Gets the instance of Redis; a script and what follows its digest.
Ask = Callable[[str], tuple[Script, Sequence[Any]]]
log = get_logger("tradecast.adapter")


class BrokerObserver:
    """What a partition tells of itself; each method does nothing here."""

    def subscribed(self, subscribed: bool) -> None:
        """Whether this server hears the others."""

    def published(self, result: str, count: int) -> None:
        """So many events were handed to Redis: `ok`, `failed`, or `uncertain`."""

    def message(self) -> None:
        """A message came through the subscription."""

    def lag(self, seconds: float) -> None:
        """How long a message of our own took through Redis and back."""

    def repaired(self, events: int) -> None:
        """A subscription was lost, and this many events that it missed were read back."""

    def skipped(self, why: str) -> None:
        """A message or an entry that was not understood."""


@dataclass(frozen=True, slots=True)
class PartitionConfig:
    """What a partition runs with; times in seconds.

    Attributes:
        timeout: How long one request to Redis may take.
        publish_timeout: How long an event may wait to be published.
        publish_buffer: Events that may wait.
        publish_batch: Events in one request.
        batch_window: How long an event may wait for others to go with it.
        linger: How long a room's channel is kept after its last member has left.
        subscription_batch: Channels in one request.
    """

    timeout: float = 2
    publish_timeout: float = 10
    publish_buffer: int = 10_000
    publish_batch: int = 64
    batch_window: float = 0
    linger: float = 15
    subscription_batch: int = 500


class PartitionWriter:
    """The half that only publishes: what a process without clients needs.

    Args:
        link: Where it is.
    """

    def __init__(
        self, link: PartitionEndpoint, retention: Retention, figures: PartitionConfig, watch: BrokerObserver
    ) -> None:
        self.prefix = link.prefix
        # What all scripts about events begin with.
        self._named = (f"{self.prefix}clock", f"{self.prefix}n")
        self._dialect = link.dialect
        self.retention = retention
        self._figures = figures
        self._watch = watch
        self.epoch: str | None = None
        self.position = 0
        self._floor = 0
        self._producer = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        # The batch under way, and the instances that were given it and did not say that they refuse.
        self._given: tuple[int, set[str]] = (0, set())
        self._wire = ScriptConnection(link.connect)
        self._publishing: BatchQueue[_Encoded, int] = BatchQueue(
            self._publish,
            what="publish",
            place=link.place,
            timeout=figures.publish_timeout,
            patience=figures.timeout,
            max_batch=figures.publish_batch,
            window=figures.batch_window,
            capacity=figures.publish_buffer,
        )

    @property
    def waiting(self) -> int:
        """Events that wait to be published."""
        return len(self._publishing)

    def tune(self, tuning: RuntimeSettings) -> None:
        """Go on with other figures; nothing that is under way is begun anew."""
        self.retention = replace(self.retention, events_per_room=tuning.history_events)
        self._publishing.tune(
            timeout=tuning.publish_timeout,
            max_batch=tuning.publish_batch,
            window=tuning.batch_window_ms / 1000,
            capacity=tuning.publish_buffer,
        )

    def start(self) -> None:
        # Of those that were made before a fork, and began after it, each has a name of its own.
        self._producer = secrets.token_hex(8)
        self._publishing.start()

    async def close(self) -> None:
        await self._publishing.close()
        await self._wire.close()

    def give_up(self) -> None:
        """Let no event wait for a Redis that does not take any."""
        self._publishing.give_up("the server shuts down")

    async def publish(self, envelope: Envelope) -> int:
        # Encoded here: what cannot be fails alone, and not the batch that it is in.
        body = envelope.encode()
        rooms = [room.encode() for room in envelope.rooms]
        kind = f"{envelope.kind}{DIRECT}" if any(map(is_sid_room, envelope.rooms)) else envelope.kind
        head: tuple[str | int | bytes, ...] = (kind, envelope.event, len(rooms), *rooms)
        try:
            return await self._publishing.do((next(self._numbers), head, body, envelope), len(body))
        except AdapterUnavailable as error:
            self._watch.published("uncertain" if isinstance(error, PublishUncertain) else "failed", 1)
            raise

    async def _publish(self, batch: Sequence[_Encoded], number: int) -> Sequence[int]:
        if self._given[0] != number:
            self._given = (number, set())
        given = self._given[1]
        before = set(given)

        def call(instance: str) -> Sequence[tuple[Script, Sequence[Any]]]:
            keys = [*self._named, f"{self.prefix}p:{self._producer}"]
            if self._dialect.names_all_keys:
                keys += dict.fromkeys(key for _, _, _, envelope in batch for key in self._written(envelope))
            arguments: list[Any] = [
                *(len(keys), *keys),
                *(*self._begin(instance), self.prefix, number),
                *(self.retention.events_per_room, round(self.retention.seconds * 1000)),
            ]
            again = bool(given - {instance})
            given.add(instance)
            for event_number, head, body, envelope in batch:
                marked = envelope.encode(again=True) if again else body
                arguments += (*head, self._origin(instance, event_number) + marked)
            return [(self._dialect.publish, arguments)]

        (answer,) = await self._wire.run_all(call)
        if isinstance(answer, Exception):
            given.intersection_update(before)
            raise answer
        if not isinstance(answer, list):
            raise TypeError("no answer of the script's")
        last_id = int(answer[1])
        self._floor = max(self._floor, last_id)
        self._watch.published("ok", len(batch))
        return range(last_id - len(batch) + 1, last_id + 1)

    def _written(self, envelope: Envelope) -> list[str]:
        """The keys that an event is kept in."""
        mark = {COUNTED: "h:", LATEST: "l:"}.get(envelope.kind)
        return [] if mark is None else [f"{self.prefix}{mark}{room}" for room in envelope.rooms]

    def _begin(self, instance: str) -> tuple[str, int, str]:
        """What scripts begin with: an epoch, in case a new one begins, the last id known here, who carries it out."""
        return secrets.token_hex(4), max(self._floor, self.position), instance

    def _origin(self, instance: str, number: int) -> bytes:
        return Origin(instance, self._producer.encode(), number).encode()


class RedisPartition(PartitionWriter):
    """All of it: what a server needs.

    Args:
        link: As above.
        server_id: This process' name, another one for each start.
        number: Which partition this is.

    Attributes:
        may_evict: Whether this Redis evicts keys; None: nobody knows. Where it does not, what a server or publisher of
            a version without notes published is there as long as it must be.
    """

    def __init__(
        self,
        link: PartitionEndpoint,
        retention: Retention,
        figures: PartitionConfig,
        watch: BrokerObserver,
        *,
        server_id: str,
        number: int = 0,
    ) -> None:
        super().__init__(link, retention, figures, watch)
        self._server_id = server_id
        self.number = number
        self._rooms = f"{self.prefix}r:".encode()
        self._own = f"{self.prefix}c:{server_id}".encode()
        self._all = f"{self.prefix}c:{ALL}".encode()
        self._direct = f"{self.prefix}d".encode()
        # Rooms that clients of this server are themselves.
        self._sid_rooms: set[str] = set()
        self._listener: Listener
        self._live = False
        self._held: list[Envelope] = []
        self._unheard = 0
        self._asking = ScriptConnection(link.connect)
        self._asks = _create_asks(self._ask_all, "requests", link, figures)
        # While a slot moves, what waits for that must not hold up the rest.
        self._moving_wire = ScriptConnection(link.connect)
        self._moving_asks = _create_asks(self._ask_moving, "moving", link, figures)
        self._numbers_seen: OrderedDict[bytes, int] = OrderedDict()
        self._subscription = Subscription(
            partial(open_pubsub_connection, link.connect),
            always=[self._own, self._all, self._direct],
            on_message=self._on_message,
            on_lost=self._on_lost,
            on_restored=self._on_restored,
            linger=figures.linger,
            patience=figures.timeout,
            batch=figures.subscription_batch,
            commands=link.dialect.subscription,
            place=link.place,
        )
        self._ticker: asyncio.Task[None] | None = None
        self._lost_at = time.monotonic()
        self._restored_once = False
        # An epoch of which something was published, and nothing was read yet; if that is lost in its turn, it is a gap.
        self._unread: str | None = None
        self._missed = False
        self.live = asyncio.Event()
        self.lineage: dict[str, int] = {}
        self.may_evict: bool | None = None

    @property
    def channels(self) -> int:
        """Channels that are listened to."""
        return len(self._subscription)

    @property
    def trouble(self) -> Exception | None:
        """Why the subscription does not stand; None: it does, or nobody knows."""
        return self._subscription.trouble

    @property
    def unreachable_for(self) -> float:
        """Seconds since the subscription was lost; 0 while it stands."""
        return 0.0 if self._live else time.monotonic() - self._lost_at

    def tune(self, tuning: RuntimeSettings) -> None:
        super().tune(tuning)
        self._subscription.tune(linger=tuning.channel_linger, batch=tuning.subscription_batch)

    def begin(self, listener: Listener) -> None:
        self._listener = listener
        self.start()
        self._asks.start()
        self._moving_asks.start()
        self._subscription.start()
        self._ticker = asyncio.create_task(self._tick(), name="tick")

    async def close(self) -> None:
        await cancel_and_wait(self._ticker)
        await super().close()
        await self._subscription.close()
        await self._asks.close()
        await self._moving_asks.close()
        await self._moving_wire.close()
        await self._asking.close()

    # -- rooms

    def subscribe(self, room: str) -> None:
        self._subscription.subscribe(self._rooms + room.encode())

    def unsubscribe(self, room: str) -> None:
        self._subscription.unsubscribe(self._rooms + room.encode())

    def subscribe_sid(self, room: str) -> None:
        self._sid_rooms.add(room)

    def unsubscribe_sid(self, room: str) -> None:
        self._sid_rooms.discard(room)

    async def wait_subscribed(self, rooms: Collection[str]) -> bool:
        """As `Broker.wait_subscribed`; to the clients' own rooms it listens in any case, once it hears anything."""
        channels = [self._rooms + room.encode() for room in rooms] + [self._direct]
        if self._live and all(map(self._subscription.is_subscribed, channels)):
            return False
        if not self._subscription.connected:
            raise AdapterUnavailable("Redis is away")
        try:
            async with asyncio.timeout(self._figures.timeout):
                await self.live.wait()
                await self._subscription.wait_subscribed(channels)
        except (TimeoutError, OSError):
            raise AdapterUnavailable("Redis did not confirm a subscription in time") from None
        return True

    async def read_position(self) -> int:
        """The last id published."""
        epoch, last, lineage, since = await self._ask_with(lambda instance: (LOOK, [], self._begin(instance)))
        self._know(epoch.decode(), lineage.decode(), int(since))
        return int(last)

    def _know(self, epoch: str, lineage: str, since: int) -> None:
        """Take notice of the epoch that Redis is in, and what of earlier ones it still has."""
        if self.epoch == epoch:
            return
        known, self.epoch = self.epoch, epoch
        told = (one.partition(":") for one in lineage.split())
        self.lineage = {name: int(top) for name, _, top in told if top.isascii() and top.isdigit()}
        if known is None:
            return
        top = self.lineage.get(known)
        if top is None:
            log.error("Redis has lost what it had: history and sessions begin anew")
            top = since
            self._missed |= self._unread is not None and self._unread != epoch and self._unread not in self.lineage
            self._unread = epoch
        else:
            log.warning("another Redis is in charge, or it was started anew", lost=self.position > top)
        # What came after that was taken by an instance that is in charge no more, and is not in the history.
        self.position = min(self.position, top) if known in self.lineage else top
        self._listener.on_epoch_change(self.number, top)

    # -- history

    async def read(self, starts: Mapping[str, int]) -> tuple[list[Envelope], int, set[str]]:
        """Events after a position each, up to which id that is all, and rooms of which something is missing.

        Raises:
            HistoryLost: It is another history by now.
            AdapterUnavailable: Redis did not answer in time.
        """
        parts: list[list[Envelope]] = []
        broken: set[str] = set()
        position: int | None = None
        rooms = list(starts)
        epoch = self.epoch
        for begin in range(0, max(len(rooms), 1), ROOMS_PER_READ):
            some = rooms[begin : begin + ROOMS_PER_READ]
            arguments: list[Any] = [self.prefix]
            for room in some:
                arguments += (room, starts[room])
            keys = [mark + room for room in some for mark in ("h:", "l:")] if self._dialect.names_all_keys else []
            found, last, since, now, certain, begun, *answers = await self._ask(READ, keys, arguments)
            if found.decode() != epoch:
                await self._subscription.drop()  # and look what is left of it
                raise HistoryLost("it is another history by now")
            # Complete up to the first call: what came after that may be in the later calls' rooms only.
            position = int(last) if position is None else position
            oldest = max(int(since or 0), int(now) - seconds(self.retention.seconds))
            for number, room in enumerate(some):
                first, trimmed, entries, latest, *noted = answers[7 * number : 7 * number + 7]
                start, ids = starts[room], ([int(one) for one in entries[::2]], _latest_ids(latest))
                sure = start >= int(begun if self.may_evict is False else certain)
                if not (
                    is_whole(start, int(first) if first else None, trimmed=bool(trimmed), oldest_certain=oldest)
                    and is_as_noted(start, ids, [int(one) for one in noted], sure=sure)
                ):
                    broken.add(room)
                parts.append(self._understand(room, start, entries, latest))
        merged = [envelope for envelope in merge(parts) if envelope.id <= (position or 0)]
        return merged, position or 0, broken

    def _understand(self, room: str, start: int, entries: Sequence[bytes], latest: Sequence[bytes]) -> list[Envelope]:
        bodies = [(int(entries[i]), entries[i + 1]) for i in range(0, len(entries), 2)]
        for value in latest[1::2]:
            text, _, newest = value.partition(b" ")
            if text.isdigit():
                bodies.append((int(text), newest))
        found = []
        for event_id, body in bodies:
            if event_id <= start:
                continue
            try:
                origin, begin = read_origin(body)
                found.append(decode(body[begin:], room, event_id, origin))
            except Malformed:
                self._watch.skipped("malformed entry")
        return found

    # -- what comes

    def _on_message(self, channel: bytes, data: bytes) -> None:
        self._watch.message()
        try:
            if channel.startswith(self._rooms):
                head, start = self._head(data)
                self._take(decode(data[start:], channel[len(self._rooms) :].decode(), head.id, head.origin))
            elif channel == self._direct:
                head, start = self._head(data)
                self._take(decode(data[start:], None, head.id, head.origin))
            elif channel in (self._own, self._all):
                self._take_own(data)
        except ConnectionError:
            raise
        except UnknownVersion:
            self._watch.skipped("other version")
        except (Malformed, UnicodeDecodeError):
            self._watch.skipped("malformed message")
        except Exception:
            self._watch.skipped("error")
            log.exception("a message could not be delivered")

    def _take(self, envelope: Envelope) -> None:
        if self._live:
            self._deliver(envelope)
        else:
            self._hold(envelope)

    def _head(self, data: bytes) -> tuple[Head, int]:
        head, start = read_head(data)
        if head.id - self.position > LEAP and head.id > now_id() + LEAP:
            raise Malformed("an id of the future would hide all that follows")
        here = self._subscription.instance
        if head.origin.instance != here and head.origin.instance and here:
            # Published at another instance, it came here by replication: one of both is in charge no more.
            raise BegunAnew("another Redis is in charge")
        if head.epoch != self.epoch and self._live:
            self._unread = head.epoch
            raise BegunAnew("another epoch has begun")
        return head, start

    def _deliver(self, envelope: Envelope) -> None:
        if envelope.id <= self.position:  # it came through another of its rooms, or was read back
            return
        self.position = envelope.id
        if envelope.origin is None or self._is_first(envelope.origin):
            self._listener.deliver(envelope)

    def _is_first(self, origin: Origin) -> bool:
        """Whether an event comes for the first time, and not again with another id."""
        seen = self._numbers_seen
        if origin.number <= seen.get(origin.producer, 0):
            return False
        seen[origin.producer] = origin.number
        seen.move_to_end(origin.producer)
        if len(seen) > MAX_PRODUCERS:
            seen.popitem(last=False)
        return True

    def _hold(self, envelope: Envelope) -> None:
        self._held.append(envelope)
        if len(self._held) > MAX_HELD:
            self._held.clear()
            raise BegunAnew("too much came while a gap was being repaired")

    def _take_own(self, data: bytes) -> None:
        _, start = read_head(data)
        what, _, rest = data[start:].partition(b" ")
        # What has no place in the history holds whatever its sender knows of that.
        if what == b"told":
            self._listener.on_control_message(rest)
        elif what == b"tick":
            head, _ = self._head(data)
            self._unheard = 0
            with contextlib.suppress(ValueError):
                self._watch.lag(time.monotonic() - float(rest))
            if self._live and head.id > self.position:
                # Everything up to this id has come before, on the same connection.
                self.position = head.id
        elif what == b"claimed":
            pid, generation, *_ = (*rest.split(b" "), b"")  # the next version may say more
            if not generation.isdigit():
                raise Malformed("no generation")
            self._listener.on_session_claimed(pid.decode(), int(generation))

    def _on_lost(self) -> None:
        if self._live:
            self._lost_at = time.monotonic()
        self._live = False
        self.live.clear()
        self._held.clear()
        self._watch.subscribed(False)

    async def _on_restored(self) -> None:
        """Read back what was missed, then let what has come since through."""
        last = await self.read_position()
        if self._leads_elsewhere():
            # What is read must be what is listened to.
            await self._asking.close()
            await self._subscription.drop()
            raise ConnectionError("requests and subscription lead to different instances")
        if not self._restored_once:  # nobody was here before, so nothing was missed
            self.position = max(self.position, last)
        rooms = self._subscription.subscribed_below(self._rooms)
        starts = dict.fromkeys([*(room.decode() for room in rooms), *self._sid_rooms], self.position)
        missed, position, broken = await self.read(starts)
        for envelope in missed:
            self._deliver(envelope)
        self.position = max(self.position, position)
        held, self._held = self._held, []
        for envelope in held:
            self._deliver(envelope)
        self._live = True
        self.live.set()
        if self._missed:
            broken |= set(starts)
        self._unread, self._missed = None, False
        self._unheard = 0
        self._watch.subscribed(True)
        if self._restored_once:
            self._watch.repaired(len(missed))
        self._restored_once = True
        log.info("hears the other servers", partition=self.number, read_back=len(missed), rooms=len(rooms))
        if broken:
            self._listener.on_history_gap(broken)

    def _leads_elsewhere(self) -> bool:
        """Whether requests and subscription lead to different instances, as far as these tell."""
        asked, heard = self._asking.run, self._subscription.instance
        return asked != heard and bool(asked and heard)

    def _tick_call(self, instance: str) -> tuple[Script, list[str], list[Any]]:
        text = self._origin(instance, 0) + b"tick %f" % time.monotonic()
        return self._dialect.tick, [], [*self._begin(instance), self._own, text]

    async def _tick(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self._ask_with(self._tick_call)
                self._unheard += self._live
                if self._live and self._leads_elsewhere():
                    log.warning("requests and subscription lead to different instances: a new subscription is made")
                    await self._subscription.drop()
                elif self._unheard > DEAF_AFTER:
                    log.error("the subscription is deaf: a new one is made")
                    await self._subscription.drop()
            except AdapterUnavailable:
                self._unheard = 0  # there was nothing to hear
            self._subscription.unsubscribe_idle()
            await asyncio.sleep(max(0.0, began + TICK_EVERY - time.monotonic()))

    # -- sessions

    async def session(self, session: RecoveryState, what: str, *arguments: Any) -> int:
        """Change a session: 1 done, 0 another server's by now, -1 gone."""
        keep = round(self.retention.session_seconds * 1000)
        values = [self._server_id, session.generation, keep, what, *arguments]
        return int(await self._ask_one(SESSION, f"s:{session.pid}", values))

    async def claim(self, pid: str, user: str) -> tuple[RecoveryState, str] | None:
        """A session, now this server's, and the epochs that it was kept in."""
        keep = round(self.retention.session_seconds * 1000)
        found = await self._ask_one(CLAIM, f"s:{pid}", [user, self._server_id, keep])
        fields = {found[i]: found[i + 1] for i in range(0, len(found), 2)}
        try:
            session = _session(pid, fields)
            owner, epochs = (fields[key].decode("ascii", "replace") for key in (b"o", b"e"))
        except (KeyError, ValueError):
            if fields:
                self._watch.skipped("malformed session")
            return None
        if owner != self._server_id:
            await self._tell(owner, f"claimed {pid} {session.generation}")
        else:
            self._listener.on_session_claimed(pid, session.generation)
        return session, epochs

    async def _tell(self, server_id: str, text: str) -> None:
        """A hint for another server; what must hold is compared in Redis."""
        with contextlib.suppress(AdapterUnavailable):
            await self._say(server_id, text.encode())

    async def send_to_server(self, server_id: str, data: bytes) -> None:
        """Tell a server, or `ALL`, what `Listener.on_control_message` gets there. Raises AdapterUnavailable."""
        self._result(await self._say(server_id, b"told " + data))

    async def _say(self, server_id: str, text: bytes) -> Any:
        def call(instance: str) -> tuple[Script, Sequence[Any]]:
            message = f"1{self.epoch or 0}.0".encode() + self._origin(instance, 0) + text
            return self._dialect.tell, [1, f"{self.prefix}clock", f"{self.prefix}c:{server_id}", message]

        return await self._do(call, len(text))

    # -- requests, many in a round trip

    async def _ask(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script of this partition.

        Raises:
            AdapterUnavailable: Redis did not answer in time, or refused.
        """
        return await self._ask_with(lambda instance: (script, keys, arguments))

    async def _ask_with(self, call: Callable[[str], tuple[Script, Sequence[str], Sequence[Any]]]) -> Any:
        """As `_ask`, with what depends on the instance that carries it out."""

        def made(instance: str) -> tuple[Script, Sequence[Any]]:
            script, keys, arguments = call(instance)
            named = [*self._named, *(self.prefix + key for key in keys)]
            return script, [len(named), *named, *arguments]

        return self._result(await self._do(made))

    async def _ask_one(self, script: Script, key: str, arguments: Sequence[Any]) -> Any:
        call = (script, [1, self.prefix + key, *arguments])
        return self._result(await self._do(lambda instance: call))

    async def _do(self, call: Ask, size: int = 0) -> Any:
        reply = await self._asks.do(call, size)
        return await self._moving_asks.do(call, size) if _is_moving(reply) else reply

    async def _ask_all(self, batch: Sequence[Ask], number: int) -> Sequence[Any]:
        return await self._run_all(self._asking, batch, lambda error: will_pass(error) and not _is_moving(error))

    async def _ask_moving(self, batch: Sequence[Ask], number: int) -> Sequence[Any]:
        return await self._run_all(self._moving_wire, batch, will_pass)

    @staticmethod
    async def _run_all(
        wire: ScriptConnection, batch: Sequence[Ask], repeats: Callable[[Exception], bool]
    ) -> Sequence[Any]:
        replies = await wire.run_all(lambda instance: [call(instance) for call in batch])
        for reply in replies:
            if isinstance(reply, Exception) and repeats(reply):
                raise reply  # all of it can be repeated
        return replies

    def _result(self, reply: Any) -> Any:
        if isinstance(reply, Exception):  # of this request alone: something else lies under its key
            self._watch.skipped("malformed entry")
            raise AdapterUnavailable("Redis refuses") from reply
        return reply


def _is_moving(reply: Any) -> bool:
    """Whether what a request needs is on its way to another node, as a part of a slot that moves."""
    return isinstance(reply, AskError | TryAgainError) and not isinstance(reply, MovedError)


def _create_asks(
    send: Callable[[Sequence[Ask], int], Awaitable[Sequence[Any]]],
    what: str,
    link: PartitionEndpoint,
    figures: PartitionConfig,
) -> BatchQueue[Ask, Any]:
    return BatchQueue(
        send,
        what=what,
        place=link.place,
        timeout=figures.timeout * 2,
        patience=figures.timeout,
        max_batch=200,
    )


def _latest_ids(latest: Sequence[bytes]) -> list[int]:
    texts = [value.partition(b" ")[0] for value in latest[1::2]]
    return [int(text) for text in texts if text.isdigit()]


def _session(pid: str, fields: Mapping[bytes, bytes]) -> RecoveryState:
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
    )

"""One order of events in Redis: a clock, the streams of some rooms, their channels, and sessions."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError

from tradecast.adapter.broker import Listener, SavedSession
from tradecast.adapter.envelope import Envelope, Malformed, UnknownVersion, decode, decode_message, read_head
from tradecast.adapter.errors import AdapterUnavailable, HistoryLost, PublishUncertain
from tradecast.adapter.history import Retention
from tradecast.adapter.ids import seconds
from tradecast.adapter.lane import Lane, will_pass
from tradecast.adapter.recovery import is_whole, merge
from tradecast.adapter.redis_scripts import CLAIM, LOOK, PUBLISH, READ, SESSION, TICK
from tradecast.adapter.scripts import Script
from tradecast.adapter.subscription import Subscription
from tradecast.tasks import end

TICK_EVERY = 1.0
# A subscriber that hears none of its ticks for so long, while Redis takes them, is deaf.
DEAF_AFTER = 5.0
# Rooms that are read in one call.
ROOMS_PER_READ = 50
MAX_HELD = 100_000
log = structlog.stdlib.get_logger("tradecast.adapter")


class Watch:
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
class Figures:
    """What a partition runs with; times in seconds.

    Attributes:
        timeout: How long one request to Redis may take.
        publish_timeout: How long an event may wait to be published.
        publish_buffer: Events that may wait.
        linger: How long a room's channel is kept after its last member has left.
    """

    timeout: float = 2
    publish_timeout: float = 10
    publish_buffer: int = 10_000
    linger: float = 15


class PartitionWriter:
    """The half that only publishes: what a process without clients needs.

    Args:
        redis: A client for requests, without retries of its own.
        prefix: Of all keys and channels, with a hash tag.
    """

    def __init__(self, redis: Redis, prefix: str, retention: Retention, figures: Figures, watch: Watch) -> None:
        self._redis = redis
        self.prefix = prefix
        self.retention = retention
        self._figures = figures
        self._watch = watch
        self.epoch: str | None = None
        self.position = 0
        self._floor = 0
        self._producer = secrets.token_hex(8)
        self._publishing: Lane[Envelope, int] = Lane(
            self._publish,
            what="publish",
            timeout=figures.publish_timeout,
            patience=figures.timeout,
            capacity=figures.publish_buffer,
        )

    @property
    def waiting(self) -> int:
        """Events that wait to be published."""
        return len(self._publishing)

    def start(self) -> None:
        self._publishing.start()

    async def close(self) -> None:
        await self._publishing.close()

    async def publish(self, envelope: Envelope) -> int:
        try:
            event_id = await self._publishing.do(envelope, len(envelope.packet) + sum(map(len, envelope.attachments)))
        except AdapterUnavailable as error:
            self._watch.published("uncertain" if isinstance(error, PublishUncertain) else "failed", 1)
            raise
        return event_id

    async def _publish(self, batch: Sequence[Envelope], number: int) -> Sequence[int]:
        arguments: list[Any] = [
            *(*self._begin(), self.prefix, number),
            *(self.retention.events_per_room, round(self.retention.seconds * 1000)),
        ]
        for envelope in batch:
            arguments += (envelope.kind, envelope.event, len(envelope.rooms), *envelope.rooms, envelope.encode())
        _, last = await self._run(PUBLISH, [f"p:{self._producer}"], arguments)
        last_id = int(last)
        self._floor = max(self._floor, last_id)
        self._watch.published("ok", len(batch))
        return range(last_id - len(batch) + 1, last_id + 1)

    def _begin(self) -> tuple[str, int]:
        """An epoch in case Redis has none, and the last id that is known here."""
        return secrets.token_hex(4), max(self._floor, self.position)

    async def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return await script.run(self._redis, [f"{self.prefix}clock", *(self.prefix + key for key in keys)], arguments)


class RedisPartition(PartitionWriter):
    """All of it: what a server needs.

    Args:
        redis: As above.
        prefix: As above.
        server_id: This process' name, another one for each start.
        connect: Makes an open connection for the subscription.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        retention: Retention,
        figures: Figures,
        watch: Watch,
        *,
        server_id: str,
        connect: Callable[[], Awaitable[AbstractConnection]],
    ) -> None:
        super().__init__(redis, prefix, retention, figures, watch)
        self._server_id = server_id
        self._rooms = f"{prefix}r:".encode()
        self._own = f"{prefix}c:{server_id}".encode()
        self._listener: Listener
        self._live = False
        self._held: list[Envelope] = []
        self._ticked = self._heard = time.monotonic()
        self._sessions: Lane[tuple[Script, str, Sequence[Any]], Any] = Lane(
            self._session_calls, what="sessions", timeout=figures.timeout * 2, patience=figures.timeout, max_batch=200
        )
        self._subscription = Subscription(
            connect,
            always=[self._own],
            on_message=self._on_message,
            on_lost=self._on_lost,
            on_restored=self._on_restored,
            linger=figures.linger,
            patience=figures.timeout,
        )
        self._ticker: asyncio.Task[None] | None = None
        self._lost_at = time.monotonic()
        self._restored_once = False
        self.live = asyncio.Event()

    @property
    def channels(self) -> int:
        """Channels that are listened to."""
        return len(self._subscription)

    @property
    def away_for(self) -> float:
        """Seconds since the subscription was lost; 0 while it stands."""
        return 0.0 if self._live else time.monotonic() - self._lost_at

    def begin(self, listener: Listener) -> None:
        self._listener = listener
        self.start()
        self._sessions.start()
        self._subscription.start()
        self._ticker = asyncio.create_task(self._tick(), name="tick")

    async def close(self) -> None:
        await end(self._ticker)
        await super().close()
        await self._subscription.close()
        await self._sessions.close()

    # -- rooms

    def want(self, room: str) -> None:
        self._subscription.want(self._rooms + room.encode())

    def unwant(self, room: str) -> None:
        self._subscription.unwant(self._rooms + room.encode())

    async def listening(self, rooms: Collection[str]) -> bool:
        channels = [self._rooms + room.encode() for room in rooms]
        if self._live and all(map(self._subscription.hears, channels)):
            return False
        if not self._subscription.connected:
            raise AdapterUnavailable("Redis is away")
        try:
            async with asyncio.timeout(self._figures.timeout):
                await self.live.wait()
                await self._subscription.confirmed(channels)
        except (TimeoutError, OSError):
            raise AdapterUnavailable("Redis did not confirm a subscription in time") from None
        return True

    async def now(self) -> int:
        """The last id published."""
        try:
            async with asyncio.timeout(self._figures.timeout):
                return await self._look()
        except (RedisError, OSError) as error:
            raise AdapterUnavailable("Redis did not tell the time") from error

    async def _look(self) -> int:
        epoch, last = await self._run(LOOK, [], self._begin())
        self._know(epoch.decode())
        return int(last)

    def _know(self, epoch: str) -> None:
        if self.epoch != epoch:
            known, self.epoch = self.epoch, epoch
            if known is not None:
                log.error("Redis has lost what it had: history and sessions begin anew")
                self._listener.forgotten()

    # -- history

    async def read(self, starts: Mapping[str, int]) -> tuple[list[Envelope], int, set[str]]:
        """Events after a position each, up to which id that is all, and rooms of which something is missing."""
        try:
            async with asyncio.timeout(self._figures.timeout * (1 + len(starts) / 1_000)):
                return await self._read(starts)
        except (RedisError, OSError) as error:
            raise AdapterUnavailable("the history could not be read") from error

    async def _read(self, starts: Mapping[str, int]) -> tuple[list[Envelope], int, set[str]]:
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
            found, last, since, *answers = await self._run(READ, [], arguments)
            if found.decode() != epoch:
                self._know(found.decode())
                raise HistoryLost("Redis has lost the history")
            # Complete up to the first call: what came after that may be in the later calls' rooms only.
            position = int(last) if position is None else position
            oldest = max(int(since or 0), int(last) - seconds(self.retention.seconds))
            for number, room in enumerate(some):
                first, trimmed, entries, latest = answers[4 * number : 4 * number + 4]
                whole = is_whole(
                    starts[room], int(first) if first else None, trimmed=bool(trimmed), oldest_certain=oldest
                )
                if not whole:
                    broken.add(room)
                parts.append(self._understand(room, starts[room], entries, latest))
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
                found.append(decode(body, room, event_id))
            except Malformed:
                self._watch.skipped("malformed entry")
        return found

    # -- what comes

    def _on_message(self, channel: bytes, data: bytes) -> None:
        self._watch.message()
        try:
            if channel.startswith(self._rooms):
                epoch, envelope = decode_message(data, channel[len(self._rooms) :].decode())
                self._check_epoch(epoch)
                if self._live:
                    self._deliver(envelope)
                else:
                    self._hold(envelope)
            elif channel == self._own:
                self._take_own(data)
        except UnknownVersion:
            self._watch.skipped("other version")
        except (Malformed, UnicodeDecodeError):
            self._watch.skipped("malformed message")
        except Exception:
            self._watch.skipped("error")
            log.exception("a message could not be delivered")

    def _check_epoch(self, epoch: str) -> None:
        if epoch != self.epoch:
            self._know(epoch)

    def _deliver(self, envelope: Envelope) -> None:
        if envelope.id <= self.position:  # it came through another of its rooms, or was read back
            return
        self.position = envelope.id
        self._listener.deliver(envelope)

    def _hold(self, envelope: Envelope) -> None:
        self._held.append(envelope)
        if len(self._held) > MAX_HELD:
            self._held.clear()
            raise ConnectionError("too much came while a gap was being repaired")

    def _take_own(self, data: bytes) -> None:
        head, start = read_head(data)
        self._check_epoch(head.epoch)
        what, _, rest = data[start:].partition(b" ")
        if what == b"tick":
            self._heard = time.monotonic()
            with contextlib.suppress(ValueError):
                self._watch.lag(self._heard - float(rest))
            if self._live and head.id > self.position:
                # Everything up to this id has come before, on the same connection.
                self.position = head.id
        elif what == b"claimed":
            pid, _, generation = rest.partition(b" ")
            if not generation.isdigit():
                raise Malformed("no generation")
            self._listener.displaced(pid.decode(), int(generation))

    def _on_lost(self) -> None:
        if self._live:
            self._lost_at = time.monotonic()
        self._live = False
        self.live.clear()
        self._held.clear()
        self._watch.subscribed(False)

    async def _on_restored(self) -> None:
        """Read back what was missed, then let what has come since through."""
        if self.epoch is None:
            self.position = max(self.position, await self._look())
        missed: list[Envelope]
        broken: set[str]
        rooms = self._subscription.wanted_below(self._rooms)
        starts = {room.decode(): self.position for room in rooms}
        missed, position, broken = [], 0, set()
        with contextlib.suppress(HistoryLost):  # with it, what was published last; clients keep their connections
            missed, position, broken = await self._read(starts)
        for envelope in missed:
            self._deliver(envelope)
        self.position = max(self.position, position)
        held, self._held = self._held, []
        for envelope in held:
            self._deliver(envelope)
        self._live = True
        self.live.set()
        self._heard = time.monotonic()
        self._watch.subscribed(True)
        if self._restored_once:
            self._watch.repaired(len(missed))
        self._restored_once = True
        log.info("hears the other servers", read_back=len(missed), rooms=len(rooms))
        if broken:
            self._listener.broken(broken)

    async def _tick(self) -> None:
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._figures.timeout):
                    text = f"tick {time.monotonic()}"
                    epoch, _ = await self._run(TICK, [f"c:{self._server_id}"], [*self._begin(), text])
                self._check_epoch(epoch.decode())
                if self._live and began - self._heard > DEAF_AFTER:
                    log.error("the subscription is deaf: a new one is made")
                    await self._subscription.drop()
            except (RedisError, OSError):
                self._heard = time.monotonic()  # nothing can be heard now
            self._subscription.tidy()
            await asyncio.sleep(max(0.0, began + TICK_EVERY - time.monotonic()))

    # -- sessions

    async def session(self, session: SavedSession, what: str, *arguments: Any) -> int:
        """Change a session: 1 done, 0 another server's by now, -1 gone."""
        keep = round(self.retention.session_seconds * 1000)
        values = [self._server_id, session.generation, keep, what, *arguments]
        return int(self._result(await self._sessions.do((SESSION, f"s:{session.pid}", values))))

    async def claim(self, pid: str, user: str) -> SavedSession | None:
        keep = round(self.retention.session_seconds * 1000)
        found = self._result(await self._sessions.do((CLAIM, f"s:{pid}", [user, self._server_id, keep])))
        fields = {found[i]: found[i + 1] for i in range(0, len(found), 2)}
        try:
            session = _session(pid, fields)
        except (KeyError, ValueError):
            if fields:
                self._watch.skipped("malformed session")
            return None
        owner = fields[b"o"].decode("ascii", "replace")
        if owner != self._server_id:
            await self._tell(owner, f"claimed {pid} {session.generation}")
        else:
            self._listener.displaced(pid, session.generation)
        # A session of another history says nothing about this one.
        return session if fields[b"e"].decode("ascii", "replace") == self.epoch else None

    async def _tell(self, server_id: str, text: str) -> None:
        """A hint for another server; what must hold is compared in Redis."""
        with contextlib.suppress(RedisError, OSError):
            async with asyncio.timeout(self._figures.timeout):
                await self._redis.publish(f"{self.prefix}c:{server_id}", f"1{self.epoch}.0\n{text}")

    async def _session_calls(self, batch: Sequence[tuple[Script, str, Sequence[Any]]], number: int) -> Sequence[Any]:
        results = await self._pipelined(batch, load=False)
        if any(isinstance(result, NoScriptError) for result in results):
            results = await self._pipelined(batch, load=True)
        for result in results:
            if isinstance(result, Exception) and will_pass(result):
                raise result  # all of it can be repeated
        return results

    async def _pipelined(self, batch: Sequence[tuple[Script, str, Sequence[Any]]], *, load: bool) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            if load:
                for source in {script.source for script, _, _ in batch}:
                    pipeline.script_load(source)
            loaded = len(pipeline.command_stack)
            for script, key, arguments in batch:
                pipeline.evalsha(script.digest, 1, f"{self.prefix}{key}", *arguments)
            return list((await pipeline.execute(raise_on_error=False))[loaded:])

    def _result(self, result: Any) -> Any:
        if isinstance(result, Exception):  # of this item alone: something else lies under its key
            self._watch.skipped("malformed session")
            raise AdapterUnavailable("Redis refuses the session") from result
        return result


def _session(pid: str, fields: Mapping[bytes, bytes]) -> SavedSession:
    joins = {name[1:].decode(): int(value) for name, value in fields.items() if name[:1] == b"r"}
    confirmed = tuple(int(one) for one in fields[b"p"].split())
    return SavedSession(
        pid,
        fields[b"u"].decode(),
        fields[b"i"].decode(),
        fields[b"c"].decode(),
        int(fields[b"g"]),
        joins,
        confirmed,
    )

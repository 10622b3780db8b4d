"""Subscriptions to channels of Redis over one connection, which is replaced when it is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from typing import Any, Final, NamedTuple, Protocol

from tradecast.background.tasks import TaskSet, cancel_and_wait
from tradecast.causes import SOME_REDIS, Place, explain_error
from tradecast.delivery.errors import SubscriptionDropped
from tradecast.delivery.redis.connections.pubsub_connection import ReplyHandler
from tradecast.observability.logger import get_logger
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.redis_client.client import CAP, STEP

log = get_logger("tradecast.adapter")


class Commands(NamedTuple):
    """How channels are subscribed to.

    Attributes:
        subscribe: The command.
        unsubscribe: The command.
        subscribed: How Redis confirms the one.
        unsubscribed: How Redis confirms the other.
        message: How a message begins.
    """

    subscribe: str = "SUBSCRIBE"
    unsubscribe: str = "UNSUBSCRIBE"
    subscribed: bytes = b"subscribe"
    unsubscribed: bytes = b"unsubscribe"
    message: bytes = b"message"


PUBSUB_COMMANDS: Final = Commands()


class Connection(Protocol):
    """An open connection to Redis that is used for nothing else: `PubSubConnection`."""

    @property
    def is_open(self) -> bool: ...

    async def send(self, command: str, channels: Collection[bytes]) -> None: ...

    async def read(self, handler: ReplyHandler) -> None: ...

    async def close(self) -> None: ...


class SubscriptionConnector(Protocol):
    """Opens connections to subscribe with: `PubSubConnector`."""

    async def open(self) -> tuple[Connection, str]:
        """Open a connection. Returns it and the instance of Redis that it leads to. Raises ConnectionError."""
        ...


class SubscriptionListener(Protocol):
    """Receives what a subscription receives."""

    def on_message(self, channel: bytes, data: bytes) -> None:
        """Handle a message. An exception closes the connection."""
        ...

    def on_lost(self) -> None:
        """The connection is lost, or the first one is about to be opened."""
        ...

    async def on_restored(self) -> None:
        """All wanted channels are confirmed. This runs in a task of its own, and is retried if it fails."""
        ...


class Subscription:
    """Keeps a connection subscribed to the wanted channels. A single task writes to it.

    After a lost connection everything is subscribed to again, in batches, before `on_restored` is awaited; until that
    returns, the listener buffers messages, since the connection itself cannot say what was missed. `on_lost` comes
    first.

    Attributes:
        instance: The instance of Redis that is subscribed to.
        trouble: Why the subscription is not active; None: it is, or nothing was tried yet.

    Args:
        connector: Opens connections.
        listener: Receives messages.
        commands: How to subscribe and to unsubscribe.
        place: Where that is, for logs.
        always: Channels that are subscribed to from the beginning.
        linger: Seconds that a channel is kept after it was unsubscribed from.
        batch: Channels in one request.
        patience: Seconds that Redis may take to confirm.
    """

    def __init__(
        self,
        connector: SubscriptionConnector,
        listener: SubscriptionListener,
        *,
        always: Collection[bytes],
        linger: float,
        patience: float,
        batch: int = 500,
        commands: Commands = PUBSUB_COMMANDS,
        place: Place = SOME_REDIS,
    ) -> None:
        self._connector = connector
        self._listener = listener
        self._place = place
        self.trouble: Exception | None = None
        self._lines = ThrottledLog()
        self._subscribe, self._unsubscribe, self._subscribed, self._unsubscribed, self._message = commands
        self._always = frozenset(always)
        self.linger = linger
        self._patience = patience
        self._batch = batch
        self._wanted: set[bytes] = set(always)
        self._confirmed: set[bytes] = set()
        self._asked: set[bytes] = set()
        self._leaving: Counter[bytes] = Counter()
        self._unwanted_since: dict[bytes, float] = {}
        self._waiters: dict[bytes, list[asyncio.Future[None]]] = {}
        self._changed = asyncio.Event()
        self._connection: Connection | None = None
        self._tasks = TaskSet()
        self._has_received = False
        self._dropped = False  # by this server itself, which has logged why
        self.connected = False
        self.instance = ""

    def tune(self, *, linger: float, batch: int) -> None:
        """Apply other settings; `linger` applies to channels that are idle already as well."""
        self.linger = linger
        self._batch = batch

    def start(self) -> None:
        self._tasks.spawn(self._run(), name="subscription")
        self._tasks.spawn(self._write(), name="subscription writer")

    async def close(self) -> None:
        await self._tasks.close()
        self._fail_waiters()

    def subscribe(self, channel: bytes) -> None:
        """Subscribe to a channel."""
        self._unwanted_since.pop(channel, None)
        if channel not in self._wanted:
            self._wanted.add(channel)
            self._changed.set()

    def unsubscribe(self, channel: bytes) -> None:
        """Unsubscribe from a channel, once `linger` has passed."""
        if channel in self._wanted and channel not in self._always:
            self._unwanted_since.setdefault(channel, time.monotonic())

    def is_subscribed(self, channel: bytes) -> bool:
        """Whether Redis has confirmed it, on this connection."""
        return channel in self._confirmed

    async def wait_subscribed(self, channels: Collection[bytes]) -> None:
        """Wait until Redis has confirmed channels that are wanted.

        Raises:
            ConnectionError: The connection was lost meanwhile.
        """
        missing = [channel for channel in channels if channel not in self._confirmed]
        if not missing:
            return
        if not self.connected:
            raise ConnectionError("not connected")
        futures: list[asyncio.Future[None]] = []
        for channel in missing:
            future = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(channel, []).append(future)
            futures.append(future)
        self._changed.set()
        try:
            await asyncio.gather(*futures)
        finally:
            for channel, future in zip(missing, futures, strict=True):
                if not future.done():
                    future.cancel()
                waiting = self._waiters.get(channel)
                if waiting is not None and future in waiting:
                    waiting.remove(future)
                    if not waiting:
                        del self._waiters[channel]

    def unsubscribe_idle(self) -> None:
        """Unsubscribe from channels that have been idle for `linger`. Call it regularly."""
        now = time.monotonic()
        over = [
            channel
            for channel, since in self._unwanted_since.items()
            if now - since >= self.linger and channel not in self._waiters
        ]
        for channel in over:
            del self._unwanted_since[channel]
            self._wanted.discard(channel)
        if over:
            self._changed.set()

    def __len__(self) -> int:
        """How many channels are subscribed to."""
        return len(self._confirmed)

    def subscribed_below(self, prefix: bytes) -> list[bytes]:
        """The wanted channels with this prefix, without it."""
        return [channel[len(prefix) :] for channel in self._wanted if channel.startswith(prefix)]

    async def drop(self) -> None:
        """Close the connection; a new one is opened."""
        if self._connection is not None:
            self._dropped = True
            await self._connection.close()

    # -- the connection

    async def _run(self) -> None:
        attempt = 0
        while True:
            restoring: asyncio.Task[None] | None = None
            self._has_received = self._dropped = False
            self._listener.on_lost()
            try:
                async with asyncio.timeout(self._patience):
                    connection, self.instance = await self._connector.open()
                self._connection = connection
                self.connected = True
                self._changed.set()
                restoring = asyncio.create_task(self._restore(), name="subscription restores")
                await connection.read(self)
            except Exception as error:  # redis-py raises others as well of what another task has closed
                if self._has_received:
                    attempt = 0
                self.trouble = error
                if attempt == 0:
                    self._log_lost(error)
                attempt += 1
            finally:
                self.connected = False
                connection_, self._connection = self._connection, None
                self._confirmed.clear()
                self._asked.clear()
                self._leaving.clear()
                self._fail_waiters()
                await cancel_and_wait(restoring)
                if connection_ is not None:
                    await connection_.close()
            await asyncio.sleep(min(attempt * STEP, CAP))

    def _log_lost(self, error: Exception) -> None:
        if isinstance(error, SubscriptionDropped) or self._dropped:
            why = str(error) if isinstance(error, SubscriptionDropped) else "dropped by this server"
            log.warning("subscribing again", why=why)
        else:
            log.error("subscription lost", error=type(error).__name__, **explain_error(error, self._place).fields())

    async def _restore(self) -> None:
        attempt = 0
        while True:
            try:
                async with asyncio.timeout(max(self._patience, len(self._wanted) / 1_000)):
                    await self.wait_subscribed(list(self._wanted))
                await self._listener.on_restored()
                self.trouble = None
            except TimeoutError as error:
                self.trouble = error
                log.error("subscription not confirmed in time")
                await self.drop()
                return
            except Exception as error:
                if not self.connected:
                    return
                attempt += 1
                self.trouble = error
                cause = explain_error(error, self._place)
                self._lines.write(
                    log.warning, "gap replay failed, retrying", error=type(error).__name__, **cause.fields()
                )
                await asyncio.sleep(min(attempt * STEP, CAP))
            else:
                return

    def on_reply(self, reply: list[Any]) -> None:
        """Handle a reply, as `ReplyHandler`."""
        self._has_received = True
        kind = reply[0]
        if kind == self._message:
            self._listener.on_message(reply[1], reply[2])
        elif kind == self._subscribed:
            channel = reply[1]
            if channel in self._leaving:  # it was left after this was asked for
                return
            self._confirmed.add(channel)
            for future in self._waiters.pop(channel, ()):
                if not future.done():
                    future.set_result(None)
        elif kind == self._unsubscribed:
            channel = reply[1]
            if channel not in self._leaving:
                # Redis did this on its own: a slot has moved. Subscribe again where it is now.
                raise SubscriptionDropped("Redis has taken a channel away: its slot has moved")
            self._leaving[channel] -= 1
            if not self._leaving[channel]:
                del self._leaving[channel]

    async def _write(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            connection = self._connection
            if connection is None or not self.connected:
                continue
            try:
                more = [channel for channel in self._wanted if channel not in self._asked]
                less = [channel for channel in self._asked if channel not in self._wanted]
                batch = self._batch
                for start in range(0, len(more), batch):
                    part = more[start : start + batch]
                    self._check(connection)
                    self._asked.update(part)
                    await connection.send(self._subscribe, part)
                for start in range(0, len(less), batch):
                    # Those that are subscribed to again meanwhile come in the next round.
                    part = less[start : start + batch]
                    self._check(connection)
                    self._confirmed.difference_update(part)
                    self._leaving.update(part)
                    await connection.send(self._unsubscribe, part)
                    self._asked.difference_update(part)
            except Exception:  # as above
                await connection.close()  # the reader notices, and opens another one
                continue
            if any(channel not in self._asked for channel in self._wanted):
                self._changed.set()

    def _check(self, connection: Connection) -> None:
        """Raise unless this is the current connection, and open: redis-py would reopen it, and nobody would read."""
        if connection is not self._connection or not connection.is_open:
            raise ConnectionError("lost meanwhile")

    def _fail_waiters(self) -> None:
        waiters, self._waiters = self._waiters, {}
        for futures in waiters.values():
            for future in futures:
                if not future.done():
                    future.set_exception(ConnectionError("subscription lost"))

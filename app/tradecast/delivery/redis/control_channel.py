"""The channels on which servers send each other messages, and by which a stalled subscription is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

from tradecast.background.tasks import cancel_and_wait
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.delivery.broker import ControlListener
from tradecast.delivery.envelope import Head, Malformed, Origin, UnknownVersion, read_head
from tradecast.delivery.errors import AdapterUnavailable, SubscriptionDropped
from tradecast.delivery.ids import id_span, now_id
from tradecast.delivery.redis.connections.endpoints import PartitionEndpoint
from tradecast.delivery.redis.connections.pubsub_connection import PubSubConnector
from tradecast.delivery.redis.connections.script_connection import Argument
from tradecast.delivery.redis.connections.script_queue import ScriptQueue
from tradecast.delivery.redis.connections.subscription import Subscription
from tradecast.delivery.redis.cursor import PartitionCursor
from tradecast.delivery.redis.lua import MAX_SKEW_MS, READ_POSITION
from tradecast.delivery.redis.options import BrokerObserver, PartitionConfig
from tradecast.observability.logger import get_logger
from tradecast.redis_client.script import Script

TICK_EVERY = 1.0
# A subscription that receives none of so many ticks, while Redis takes them, is stalled.
STALLED_AFTER = 5
# Clocks of hosts are not further apart than the scripts believe.
MAX_LEAP = id_span(MAX_SKEW_MS / 1000)
# In the place of a server's name in a channel: every server subscribes to it.
ALL = "all"
log = get_logger("tradecast.adapter")


class ControlChannel:
    """A subscription to this server's own channel and to that of all servers, as its `SubscriptionListener`.

    Once a second this server sends itself a tick through Redis. A subscription that receives none any more is replaced.

    Attributes:
        prefix: Of the partition's keys and channels.
        live: Set while messages of other servers come here.
        cursor: How far the history of this partition is known.
        subscription: To the channels.
        queue: Runs requests.

    Args:
        endpoint: Where it is.
        config: How to talk to Redis.
        observer: Observes messages and lag.
        cursor: As above.
        control: Receives control messages.
        server_id: This process's name; every start has another one.
        channels: More channels to subscribe to.
    """

    def __init__(
        self,
        endpoint: PartitionEndpoint,
        config: PartitionConfig,
        observer: BrokerObserver,
        cursor: PartitionCursor,
        control: ControlListener,
        *,
        server_id: str,
        channels: Sequence[bytes] = (),
    ) -> None:
        self.prefix = endpoint.prefix
        self.cursor = cursor
        self._commands = endpoint.commands
        self._common_keys = (f"{self.prefix}clock", f"{self.prefix}n")
        self._observer = observer
        self._control = control
        self._server_id = server_id
        self._producer = secrets.token_hex(8).encode()
        self._own_channel = f"{self.prefix}c:{server_id}".encode()
        self._all_channel = f"{self.prefix}c:{ALL}".encode()
        self.queue = ScriptQueue(endpoint, config.timeout, observer)
        self.subscription = Subscription(
            PubSubConnector(endpoint.connector),
            self,
            always=[self._own_channel, self._all_channel, *channels],
            linger=config.settings.channel_linger,
            patience=config.timeout,
            batch=config.settings.subscription_batch,
            commands=endpoint.commands.subscription,
            place=endpoint.place,
        )
        self.live = asyncio.Event()
        self._is_live = False
        self._lost_at = time.monotonic()
        self._was_live = False
        self._missing_ticks = 0
        self._ticker: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> Exception | None:
        """Why the subscription is not active; None: it is active, or the reason is unknown."""
        return self.subscription.trouble

    @property
    def unreachable_for(self) -> float:
        """Seconds since the subscription was lost; 0 while it is active."""
        return 0.0 if self._is_live else time.monotonic() - self._lost_at

    def tune(self, settings: RuntimeSettings) -> None:
        """See `Broker.tune`."""
        self.subscription.tune(linger=settings.channel_linger, batch=settings.subscription_batch)

    def start(self) -> None:
        self.queue.start()
        self.subscription.start()
        self._ticker = asyncio.create_task(self._tick(), name="tick")

    async def close(self) -> None:
        await cancel_and_wait(self._ticker)
        await self.subscription.close()
        await self.queue.close()

    # -- messages out

    async def send_to_server(self, server_id: str, data: bytes) -> None:
        """Send a control message to a server, or to `ALL`. Raises AdapterUnavailable."""
        text = b"told " + data
        await self.queue.run(_ServerMessage(self, server_id, text), len(text))

    async def send_hint(self, server_id: str, text: str) -> None:
        """Send another server a hint. It may be lost, so nothing may depend on it: Redis decides."""
        with contextlib.suppress(AdapterUnavailable):
            await self.queue.run_raw(_ServerMessage(self, server_id, text.encode()), len(text))

    def encode_message(self, server_id: str, text: bytes, instance: str) -> tuple[Script, Sequence[Argument]]:
        """The script and its arguments that send a text to a server, or to `ALL`."""
        message = f"1{self.cursor.epoch or 0}.0".encode() + self._origin(instance) + text
        return self._commands.send, [1, f"{self.prefix}clock", f"{self.prefix}c:{server_id}", message]

    def encode_tick(self, instance: str) -> tuple[Script, Sequence[Argument]]:
        """The script and its arguments that send this server a tick."""
        text = self._origin(instance) + b"tick %f" % time.monotonic()
        begin = self.cursor.script_arguments(instance)
        return self._commands.tick, [len(self._common_keys), *self._common_keys, *begin, self._own_channel, text]

    def encode_position_request(self, instance: str) -> tuple[Script, Sequence[Argument]]:
        """The script and its arguments that read the position and the epoch."""
        return READ_POSITION, [len(self._common_keys), *self._common_keys, *self.cursor.script_arguments(instance)]

    def _origin(self, instance: str) -> bytes:
        return Origin(instance, self._producer, 0).encode()

    async def read_position(self) -> int:
        """Read the last id published. Raises AdapterUnavailable."""
        return self.take_position(*await self.queue.run(_PositionRequest(self)))

    def take_position(self, epoch: bytes, last: bytes, lineage: bytes, since: bytes) -> int:
        """Apply the answer of `READ_POSITION`. Returns the last id published."""
        known, before = self.cursor.epoch, self.cursor.position
        top = self.cursor.enter_epoch(epoch.decode(), lineage.decode(), int(since))
        if top is not None:
            if known in self.cursor.lineage:
                log.warning("another Redis is in charge, or it was restarted", lost=before > top)
            else:
                log.error("Redis has lost its data: history and recovery states start again")
            self.on_epoch_change(top)
        return int(last)

    def on_epoch_change(self, top: int) -> None:
        """The history ends at this id and another epoch begins; control messages do not depend on it."""

    # -- messages in: `SubscriptionListener`

    def on_message(self, channel: bytes, data: bytes) -> None:
        """Handle a message. Raises SubscriptionDropped if the subscription has become useless."""
        self._observer.redis_message()
        try:
            self.handle(channel, data)
        except ConnectionError:
            raise
        except UnknownVersion:
            self._observer.message_skipped("other version")
        except (Malformed, UnicodeDecodeError):
            self._observer.message_skipped("malformed message")
        except Exception:
            self._observer.message_skipped("error")
            log.exception("a message could not be delivered")

    def handle(self, channel: bytes, data: bytes) -> None:
        """Handle a message of one of the channels. Raises Malformed, UnknownVersion."""
        if channel in (self._own_channel, self._all_channel):
            self.handle_control(data)

    def handle_control(self, data: bytes) -> None:
        """Handle a message between servers. Raises Malformed, UnknownVersion."""
        _, start = read_head(data)
        word, _, rest = data[start:].partition(b" ")
        # What is not in the history holds whatever its sender knows of that.
        if word == b"told":
            self._control.on_control_message(rest)
        elif word == b"tick":
            head, _ = self.read_head(data)
            self._missing_ticks = 0
            with contextlib.suppress(ValueError):
                self._observer.redis_lag(time.monotonic() - float(rest))
            if self._is_live:
                # Everything up to this id has come before, on the same connection.
                self.cursor.advance(head.id)
        elif word == b"claimed":
            pid, generation, *_ = (*rest.split(b" "), b"")  # the next version may say more
            if not generation.isdigit():
                raise Malformed("no generation")
            self.on_session_claimed(pid.decode(), int(generation))

    def on_session_claimed(self, pid: str, generation: int) -> None:
        """Another server has claimed a recovery state; this channel keeps none."""

    def read_head(self, data: bytes) -> tuple[Head, int]:
        """The head of a message of the present epoch and instance, and where the rest begins.

        Raises:
            Malformed: It is none.
            SubscriptionDropped: Another epoch has begun, or another instance is in charge.
        """
        head, start = read_head(data)
        if head.id - self.cursor.position > MAX_LEAP and head.id > now_id() + MAX_LEAP:
            raise Malformed("an id of the future would hide all that follows")
        here = self.subscription.instance
        if head.origin.instance != here and head.origin.instance and here:
            # Published at another instance, it came here by replication: one of both is in charge no more.
            raise SubscriptionDropped("another Redis is in charge")
        if head.epoch != self.cursor.epoch and self._is_live:
            self.cursor.unread_epoch = head.epoch
            raise SubscriptionDropped("another epoch has begun")
        return head, start

    def on_lost(self) -> None:
        """The subscription is lost, or not active yet."""
        if self._is_live:
            self._lost_at = time.monotonic()
        self._is_live = False
        self.live.clear()
        self._observer.redis_subscribed(False)

    async def on_restored(self) -> None:
        """All channels are subscribed to: read the position, and become live."""
        last = await self.read_position()
        if self._leads_elsewhere():
            # What is read must be what is subscribed to.
            await self.queue.close_connection()
            await self.subscription.drop()
            raise ConnectionError("requests and subscription lead to different instances")
        if not self._was_live:  # nobody was here before, so nothing was missed
            self.cursor.advance(last)
        await self.catch_up()

    async def catch_up(self) -> None:
        """Become live; control messages that were missed are lost."""
        self.set_live()
        log.info("control channel subscribed")

    def set_live(self) -> None:
        """Handle messages from now on."""
        self._is_live = self._was_live = True
        self.live.set()
        self._missing_ticks = 0
        self._observer.redis_subscribed(True)

    def _leads_elsewhere(self) -> bool:
        """Whether requests and subscription lead to different instances, as far as these are known."""
        requests, subscribed = self.queue.instance, self.subscription.instance
        return requests != subscribed and bool(requests and subscribed)

    async def _tick(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self.queue.run(_TickRequest(self))
                self._missing_ticks += self._is_live
                if self._is_live and self._leads_elsewhere():
                    log.warning("requests and subscription lead to different instances: subscribing again")
                    await self.subscription.drop()
                elif self._missing_ticks > STALLED_AFTER:
                    log.error("subscription stalled: subscribing again")
                    await self.subscription.drop()
            except AdapterUnavailable:
                self._missing_ticks = 0  # there was nothing to receive
            self.subscription.unsubscribe_idle()
            await asyncio.sleep(max(0.0, began + TICK_EVERY - time.monotonic()))


class _ServerMessage:
    """`ScriptRequest` that sends a text to a server."""

    __slots__ = ("_channel", "_server_id", "_text")

    def __init__(self, channel: ControlChannel, server_id: str, text: bytes) -> None:
        self._channel = channel
        self._server_id = server_id
        self._text = text

    def encode(self, instance: str) -> tuple[Script, Sequence[Any]]:
        return self._channel.encode_message(self._server_id, self._text, instance)


class _TickRequest:
    """`ScriptRequest` that sends this server a tick."""

    __slots__ = ("_channel",)

    def __init__(self, channel: ControlChannel) -> None:
        self._channel = channel

    def encode(self, instance: str) -> tuple[Script, Sequence[Any]]:
        return self._channel.encode_tick(instance)


class _PositionRequest:
    """`ScriptRequest` that reads position and epoch."""

    __slots__ = ("_channel",)

    def __init__(self, channel: ControlChannel) -> None:
        self._channel = channel

    def encode(self, instance: str) -> tuple[Script, Sequence[Any]]:
        return self._channel.encode_position_request(instance)

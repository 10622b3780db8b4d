"""Listening to channels, over a connection whose replies come when the test lets them."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Collection
from typing import Any

import pytest
import structlog

from kit.waiting import eventually
from tradecast.delivery.errors import AdapterUnavailable, SubscriptionDropped
from tradecast.delivery.redis.connections.pubsub_connection import ReplyHandler
from tradecast.delivery.redis.connections.subscription import Subscription

OWN = b"own"


class Line:
    """A connection to a Redis of the test's own.

    Attributes:
        said: Commands, in order.
        replies: What Redis answered, and has not been read.
    """

    def __init__(self) -> None:
        self.said: list[tuple[str, tuple[bytes, ...]]] = []
        self.replies: asyncio.Queue[Any] = asyncio.Queue()
        self.is_open = True
        self.reconnected = False
        self.error: Exception | None = None

    async def send(self, command: str, channels: Collection[bytes]) -> None:
        if not self.is_open:  # as redis-py does
            self.is_open = self.reconnected = True
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.said.append((command, tuple(channels)))

    async def read(self, handler: ReplyHandler) -> None:
        while True:
            reply = await self.replies.get()
            if isinstance(reply, Exception):
                raise reply
            handler.on_reply(reply)

    async def close(self) -> None:
        self.is_open = False
        self.replies.put_nowait(ConnectionError("closed"))

    def answer(self, count: int = 1_000) -> None:
        """Answer the oldest commands, one reply for each channel."""
        for command, channels in self.said[:count]:
            for channel in channels:
                self.replies.put_nowait([command.lower().encode(), channel, 1])
        del self.said[:count]


class SubscriptionHarness:
    """A subscription and its lines.

    Attributes:
        events: What it told, in order.
        failing: What `on_restored` raises, one each time.
        refusal: What `on_message` raises.
    """

    def __init__(self, **options: Any) -> None:
        self.lines: list[Line] = []
        self.events: list[Any] = []
        self.failing: list[Exception] = []
        self.refusal: Exception | None = None
        self.subscription = Subscription(
            self,
            self,
            always=[OWN],
            **{"linger": 0.0, "patience": 30.0, **options},
        )

    @property
    def line(self) -> Line:
        return self.lines[-1]

    async def open(self) -> tuple[Any, str]:
        self.lines.append(Line())
        return self.lines[-1], f"run{len(self.lines)}"

    def on_message(self, channel: bytes, data: bytes) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.events.append((channel, data))

    def on_lost(self) -> None:
        self.events.append("lost")

    async def on_restored(self) -> None:
        if self.failing:
            raise self.failing.pop(0)
        self.events.append("restored")

    async def begin(self, *channels: bytes) -> None:
        """Connected, with these channels listened to."""
        for channel in channels:
            self.subscription.subscribe(channel)
        self.subscription.start()
        await self.hear(OWN, *channels)
        await eventually(lambda: "restored" in self.events)

    async def hear(self, *channels: bytes) -> None:
        await eventually(lambda: self.lines and self.asked() >= set(channels))
        self.line.answer()
        await eventually(lambda: all(map(self.subscription.is_subscribed, channels)))

    def asked(self) -> set[bytes]:
        return {channel for command, channels in self.line.said if command == "SUBSCRIBE" for channel in channels}

    def drop_now(self, channel: bytes) -> None:
        """Nobody wants it any more, and the time to linger is over."""
        self.subscription.unsubscribe(channel)
        self.subscription.unsubscribe_idle()


@pytest.fixture
async def bench() -> AsyncIterator[SubscriptionHarness]:
    made = SubscriptionHarness()
    yield made
    await made.subscription.close()


async def said(bench: SubscriptionHarness, *commands: str) -> None:
    await eventually(lambda: [command for command, _ in bench.line.said] == list(commands))


async def test_it_is_restored_when_all_is_confirmed(bench: SubscriptionHarness) -> None:
    bench.subscription.subscribe(b"x")
    bench.subscription.start()
    await eventually(lambda: bench.lines and bench.asked() == {OWN, b"x"})
    assert bench.events == ["lost"]
    bench.line.answer()
    await eventually(lambda: bench.events == ["lost", "restored"])
    assert bench.subscription.instance == "run1"
    assert len(bench.subscription) == 2
    bench.line.replies.put_nowait([b"message", b"x", b"data"])
    await eventually(lambda: bench.events[2:] == [(b"x", b"data")])


async def test_after_a_loss_everything_is_asked_for_again(bench: SubscriptionHarness) -> None:
    await bench.begin(b"x", b"y")
    bench.line.replies.put_nowait(ConnectionError("lost"))
    await eventually(lambda: len(bench.lines) == 2)
    assert not bench.subscription.is_subscribed(b"x")
    await eventually(lambda: bench.asked() == {OWN, b"x", b"y"})
    bench.line.answer()
    await eventually(lambda: bench.events == ["lost", "restored", "lost", "restored"])


async def test_waiting_for_a_channel_ends_with_its_confirmation_or_the_connection(bench: SubscriptionHarness) -> None:
    bench.subscription.subscribe(b"x")
    with pytest.raises(ConnectionError):
        await bench.subscription.wait_subscribed([b"x"])
    await bench.begin()
    bench.subscription.subscribe(b"y")
    waiting = asyncio.create_task(bench.subscription.wait_subscribed([b"x", b"y"]))
    await eventually(lambda: b"y" in bench.asked())
    assert not waiting.done()
    bench.line.answer()
    await waiting
    bench.subscription.subscribe(b"z")
    waiting = asyncio.create_task(bench.subscription.wait_subscribed([b"z"]))
    await eventually(lambda: b"z" in bench.asked())
    bench.line.replies.put_nowait(ConnectionError("lost"))
    with pytest.raises(ConnectionError):
        await waiting


async def test_one_that_gives_up_waiting_leaves_the_others_waiting(bench: SubscriptionHarness) -> None:
    await bench.begin()
    bench.subscription.subscribe(b"x")
    waiting = [asyncio.create_task(bench.subscription.wait_subscribed([b"x"])) for _ in range(2)]
    await eventually(lambda: b"x" in bench.asked())
    waiting[0].cancel()
    bench.line.answer()
    await waiting[1]
    assert bench.subscription._waiters == {}


async def test_what_nobody_wants_is_left_after_a_while() -> None:
    bench = SubscriptionHarness(linger=3600.0)
    await bench.begin(b"x", b"y")
    bench.drop_now(b"x")
    bench.subscription.linger = 0
    bench.subscription.subscribe(b"x")  # wanted again in time
    bench.drop_now(b"y")
    bench.drop_now(OWN)  # never
    await said(bench, "UNSUBSCRIBE")
    assert bench.line.said[0][1] == (b"y",)
    assert not bench.subscription.is_subscribed(b"y")
    bench.line.answer()
    await eventually(bench.line.replies.empty)
    assert bench.subscription.is_subscribed(b"x")
    assert bench.subscription.is_subscribed(OWN)
    assert bench.subscription.subscribed_below(b"") == [OWN, b"x"] or bench.subscription.subscribed_below(b"") == [
        b"x",
        OWN,
    ]
    await bench.subscription.close()


async def test_channels_are_asked_for_in_batches_of_a_size_that_can_change(bench: SubscriptionHarness) -> None:
    bench.subscription.tune(linger=0, batch=4)
    channels = [b"x%d" % n for n in range(9)]
    for channel in channels:
        bench.subscription.subscribe(channel)
    bench.subscription.start()
    await eventually(lambda: bench.lines and bench.asked() == {OWN, *channels})
    assert sorted(len(asked) for command, asked in bench.line.said) == [2, 4, 4]
    bench.line.answer()
    await eventually(lambda: "restored" in bench.events)
    bench.subscription.tune(linger=0, batch=5)
    for channel in channels:
        bench.subscription.unsubscribe(channel)
    bench.subscription.unsubscribe_idle()
    await said(bench, "UNSUBSCRIBE", "UNSUBSCRIBE")
    assert sorted(len(left) for command, left in bench.line.said) == [4, 5]


async def test_what_lingers_goes_as_the_new_figure_says() -> None:
    bench = SubscriptionHarness(linger=3600.0)
    await bench.begin(b"x")
    bench.drop_now(b"x")
    await asyncio.sleep(0)
    assert bench.subscription.subscribed_below(b"x") == [b""]
    bench.subscription.tune(linger=0, batch=500)
    bench.subscription.unsubscribe_idle()
    await said(bench, "UNSUBSCRIBE")
    await bench.subscription.close()


async def test_a_channel_that_is_being_left_is_not_heard_when_an_older_confirmation_comes(
    bench: SubscriptionHarness,
) -> None:
    await bench.begin()
    bench.subscription.subscribe(b"x")
    await said(bench, "SUBSCRIBE")
    bench.drop_now(b"x")
    await said(bench, "SUBSCRIBE", "UNSUBSCRIBE")
    bench.subscription.subscribe(b"x")
    waiting = asyncio.create_task(bench.subscription.wait_subscribed([b"x"]))
    await said(bench, "SUBSCRIBE", "UNSUBSCRIBE", "SUBSCRIBE")
    for _ in range(2):  # it is heard, then not any more
        bench.line.answer(1)
        await eventually(bench.line.replies.empty)
        assert not bench.subscription.is_subscribed(b"x")
        assert not waiting.done()
    bench.line.answer(1)
    await waiting
    assert bench.subscription.is_subscribed(b"x")


async def test_a_channel_that_was_left_twice_is_not_heard(bench: SubscriptionHarness) -> None:
    await bench.begin(b"x")
    bench.drop_now(b"x")
    await said(bench, "UNSUBSCRIBE")
    bench.subscription.subscribe(b"x")
    await said(bench, "UNSUBSCRIBE", "SUBSCRIBE")
    bench.drop_now(b"x")
    await said(bench, "UNSUBSCRIBE", "SUBSCRIBE", "UNSUBSCRIBE")
    bench.line.answer()
    await eventually(bench.line.replies.empty)
    assert not bench.subscription.is_subscribed(b"x")
    assert len(bench.lines) == 1


async def test_nothing_is_kept_of_channels_that_were_left(bench: SubscriptionHarness) -> None:
    await bench.begin()
    for n in range(50):
        channel = b"x%d" % n
        bench.subscription.subscribe(channel)
        await bench.hear(channel)
        bench.drop_now(channel)
        await said(bench, "UNSUBSCRIBE")
        bench.line.answer()
        await eventually(bench.line.replies.empty)
    await eventually(lambda: len(bench.subscription._leaving) == 0)
    assert len(bench.subscription._wanted) == len(bench.subscription._asked) == 1


async def test_unsubscribed_without_having_asked_is_a_loss(bench: SubscriptionHarness) -> None:
    await bench.begin(b"x")
    bench.line.replies.put_nowait([b"unsubscribe", b"x", 1])
    await eventually(lambda: len(bench.lines) == 2)
    await eventually(lambda: bench.asked() == {OWN, b"x"})


async def test_a_channel_that_somebody_waits_for_is_not_left(bench: SubscriptionHarness) -> None:
    """Else nobody would ever confirm it: after a loss, a restoring waits for what lingers as well."""
    bench.subscription.subscribe(b"x")
    bench.subscription.unsubscribe(b"x")
    bench.subscription.start()
    await eventually(lambda: bench.lines and bench.asked() == {OWN, b"x"})
    bench.subscription.unsubscribe_idle()
    bench.line.answer()
    await eventually(lambda: bench.events == ["lost", "restored"])
    bench.subscription.unsubscribe_idle()
    await said(bench, "UNSUBSCRIBE")


@pytest.mark.parametrize("error", [ConnectionError("lost"), AdapterUnavailable("no answer in time"), KeyError()])
async def test_what_was_missed_is_read_until_that_succeeds(bench: SubscriptionHarness, error: Exception) -> None:
    bench.failing = [error, error]
    await bench.begin()
    assert bench.events == ["lost", "restored"]
    assert bench.failing == []
    assert len(bench.lines) == 1


async def test_what_is_read_for_a_connection_that_is_lost_does_not_count_for_the_next(
    bench: SubscriptionHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    waiting: list[asyncio.Event] = []

    async def restored() -> None:
        gate = gates[len(waiting)]
        waiting.append(gate)
        await gate.wait()
        bench.events.append("restored")

    monkeypatch.setattr(bench, "on_restored", restored)
    bench.subscription.start()
    await bench.hear(OWN)
    await eventually(lambda: len(waiting) == 1)
    bench.line.replies.put_nowait(ConnectionError("lost"))
    await eventually(lambda: len(bench.lines) == 2)
    await bench.hear(OWN)
    await eventually(lambda: len(waiting) == 2)
    gates[0].set()
    await asyncio.sleep(0.01)
    assert bench.events == ["lost", "lost"]
    gates[1].set()
    await eventually(lambda: bench.events == ["lost", "lost", "restored"])


async def test_what_is_not_confirmed_in_time_is_tried_on_another_connection() -> None:
    bench = SubscriptionHarness(patience=0.2)
    bench.subscription.start()
    await eventually(lambda: len(bench.lines) == 3)
    assert not bench.lines[0].is_open
    await bench.subscription.close()


async def test_a_dropped_connection_is_not_opened_again_behind_the_readers_back(bench: SubscriptionHarness) -> None:
    await bench.begin()
    first = bench.line
    first.is_open = False  # dropped, and the reader does not know yet
    bench.subscription.subscribe(b"x")
    await eventually(lambda: len(bench.lines) == 2)
    assert not first.reconnected
    await bench.hear(OWN, b"x")


async def test_whatever_redis_py_raises_of_a_connection_that_is_lost_is_a_loss(bench: SubscriptionHarness) -> None:
    """Closed by one task, it is None to the other: AttributeError."""
    await bench.begin()
    first = bench.line
    first.error = AttributeError("'NoneType' object has no attribute 'writelines'")
    bench.subscription.subscribe(b"x")
    await eventually(lambda: len(bench.lines) == 2)
    await bench.hear(OWN, b"x")
    bench.line.replies.put_nowait(AttributeError("'NoneType' object has no attribute 'feed'"))
    await eventually(lambda: len(bench.lines) == 3)
    await bench.hear(OWN, b"x")


async def test_a_message_that_ends_the_connection(bench: SubscriptionHarness) -> None:
    await bench.begin()
    bench.refusal = ConnectionError("another Redis is in charge")
    bench.line.replies.put_nowait([b"message", OWN, b"x"])
    await eventually(lambda: len(bench.lines) == 2)


def told(lines: list[Any]) -> list[tuple[str, str]]:
    return [(line["event"], line.get("cause", line.get("why"))) for line in lines if line["log_level"] != "info"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (SubscriptionDropped("another epoch has begun"), ("subscribing again", "another epoch has begun")),
        (ConnectionError("connection closed"), ("subscription lost", "closed")),
        (ConnectionResetError("Connection reset by peer"), ("subscription lost", "closed")),
        (OSError(errno.EHOSTUNREACH, "No route to host"), ("subscription lost", "unreachable")),
    ],
)
async def test_it_says_why_it_was_lost(bench: SubscriptionHarness, error: Exception, line: tuple[str, str]) -> None:
    """Nobody looks at routes and firewalls where this server itself wants another one."""
    await bench.begin()
    with structlog.testing.capture_logs() as lines:
        bench.line.replies.put_nowait(error)
        await eventually(lambda: len(bench.lines) == 2)
    assert told(lines) == [line]


async def test_one_that_is_given_up_is_no_trouble_with_the_network(bench: SubscriptionHarness) -> None:
    await bench.begin()
    with structlog.testing.capture_logs() as lines:
        await bench.subscription.drop()
        await eventually(lambda: len(bench.lines) == 2)
    assert told(lines) == [("subscribing again", "dropped by this server")]


async def test_many_channels_go_in_chunks(bench: SubscriptionHarness) -> None:
    channels: Collection[bytes] = {b"x%d" % n for n in range(1200)}
    for channel in channels:
        bench.subscription.subscribe(channel)
    bench.subscription.start()
    await eventually(lambda: bench.lines and len(bench.asked()) == 1201)
    assert max(len(some) for _, some in bench.line.said) <= 500
    bench.line.answer()
    await eventually(lambda: "restored" in bench.events)

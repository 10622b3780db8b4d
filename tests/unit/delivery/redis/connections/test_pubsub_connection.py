"""Reading what Redis says to who has subscribed, from a socket whose other end is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio
from redis.exceptions import InvalidResponse, ResponseError

from kit.waiting import eventually
from tradecast.causes import SOME_REDIS, Code, explain_error
from tradecast.delivery.redis.connections.pubsub_connection import REPLIES_PER_TURN, PubSubConnection


def message(channel: bytes, data: bytes) -> bytes:
    return b"*3\r\n$7\r\nmessage\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(channel), channel, len(data), data)


class Far:
    """The other end.

    Attributes:
        taken: Replies that were handed over.
        connection: The end that is tested.
    """

    def __init__(self) -> None:
        self.taken: list[list[Any]] = []
        self.connection: PubSubConnection
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self._plain: redis.asyncio.Connection
        self._reading: asyncio.Task[None] | None = None
        self._server: asyncio.Server

    async def start(self) -> None:
        came: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Future()
        self._server = await asyncio.start_server(lambda *both: came.set_result(both), "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self._plain = redis.asyncio.Connection(
            host="127.0.0.1", port=port, protocol=2, driver_info=None, socket_timeout=None
        )
        await self._plain.connect()  # type: ignore[no-untyped-call]
        self.reader, self.writer = await came
        self.connection = PubSubConnection(self._plain)

    def read(self) -> asyncio.Task[None]:
        self._reading = asyncio.create_task(self.connection.read(self))
        return self._reading

    def on_reply(self, reply: list[Any]) -> None:
        self.taken.append(reply)

    async def until_taken(self, count: int) -> None:
        await eventually(lambda: len(self.taken) >= count)

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self.connection.close()
        self.writer.close()
        self._server.close()
        await self._server.wait_closed()


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    made = Far()
    await made.start()
    yield made
    await made.stop()


async def test_replies_come_whole_and_in_order_however_they_are_cut(far: Far) -> None:
    far.read()
    data = b"".join(message(b"c%d" % n, b"\r\n$" * n) for n in range(5))
    for begin in range(0, len(data), 7):
        far.writer.write(data[begin : begin + 7])
        await far.writer.drain()
        await asyncio.sleep(0)
    await far.until_taken(5)
    assert far.taken == [[b"message", b"c%d" % n, b"\r\n$" * n] for n in range(5)]


async def test_a_message_of_some_megabytes(far: Far) -> None:
    far.read()
    data = bytes(5_000_000)
    far.writer.write(message(b"c", data) + message(b"c", b"next"))
    await far.until_taken(2)
    assert far.taken == [[b"message", b"c", data], [b"message", b"c", b"next"]]


async def test_many_replies_at_once_leave_others_their_turn(far: Far) -> None:
    turns = 0
    over = False

    async def others() -> None:
        nonlocal turns
        while not over:
            turns += bool(far.taken)
            await asyncio.sleep(0)

    count = 50 * REPLIES_PER_TURN
    far.read()
    beside = asyncio.create_task(others())
    far.writer.write(b"".join(message(b"c", b"%d" % n) for n in range(count)))
    await far.until_taken(count)
    over = True
    await beside
    assert [int(data) for _, _, data in far.taken] == list(range(count))
    assert turns >= 49


async def test_what_is_sent_arrives_while_replies_are_read(far: Far) -> None:
    far.read()
    await far.connection.send("SUBSCRIBE", [b"a", b"b"])
    command = b"*3\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n$1\r\nb\r\n"
    assert await far.reader.readexactly(len(command)) == command
    far.writer.write(b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
    await far.until_taken(1)
    assert far.taken == [[b"subscribe", b"a", 1]]


async def test_sending_waits_for_who_does_not_read(far: Far) -> None:
    """Nothing piles up without a bound, and nothing is lost."""
    far.read()
    channels = [b"%0999d" % n for n in range(1_000)]
    sent = 0

    async def send() -> None:
        nonlocal sent
        for _ in range(20):
            await far.connection.send("SUBSCRIBE", channels)
            sent += 1

    sending = asyncio.create_task(send())
    await asyncio.sleep(0.2)
    assert sent < 20
    whole = 20 * (len(b"*1001\r\n$9\r\nSUBSCRIBE\r\n") + 1_000 * len(b"$999\r\n" + channels[0] + b"\r\n"))
    assert len(await far.reader.readexactly(whole)) == whole
    await sending


async def test_the_end_of_the_connection_ends_the_reading(far: Far) -> None:
    reading = far.read()
    far.writer.write(message(b"c", b"last"))
    far.writer.close()
    with pytest.raises(ConnectionError) as caught:
        await reading
    assert explain_error(caught.value, SOME_REDIS).code == Code.CLOSED  # and not that there is no way to it
    assert far.taken == [[b"message", b"c", b"last"]]


async def test_closing_ends_the_reading(far: Far) -> None:
    reading = far.read()
    await asyncio.sleep(0)
    await far.connection.close()
    with pytest.raises(ConnectionError):
        await reading
    assert not far.connection.is_open
    assert await far.reader.read() == b""


@pytest.mark.parametrize(
    ("said", "error"), [(b"-MOVED 1 127.0.0.1:1\r\n", ResponseError), (b"HTTP/1.1 400\r\n", InvalidResponse)]
)
async def test_what_is_no_reply_to_a_subscriber_ends_the_reading(far: Far, said: bytes, error: type) -> None:
    reading = far.read()
    far.writer.write(message(b"c", b"1") + said + message(b"c", b"2"))
    with pytest.raises(error):
        await reading
    assert far.taken == [[b"message", b"c", b"1"]]


async def test_what_the_handler_raises_ends_the_reading(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(reply: list[Any]) -> None:
        far.taken.append(reply)
        raise KeyError("no such")

    monkeypatch.setattr(far, "on_reply", refuse)
    reading = far.read()
    far.writer.write(message(b"c", b"1") * 2)
    with pytest.raises(KeyError):
        await reading
    far.writer.write(message(b"c", b"1"))
    await asyncio.sleep(0.05)
    assert len(far.taken) == 1


async def test_nothing_is_handed_over_after_the_reading_was_given_up(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    def take(reply: list[Any]) -> None:
        far.taken.append(reply)
        reading.cancel()

    monkeypatch.setattr(far, "on_reply", take)
    reading = far.read()
    far.writer.write(message(b"c", b"1") * (3 * REPLIES_PER_TURN))
    with pytest.raises(asyncio.CancelledError):
        await reading
    taken = len(far.taken)
    await asyncio.sleep(0.05)
    assert 1 <= len(far.taken) == taken <= REPLIES_PER_TURN


async def test_a_connection_on_which_something_has_come_already_is_refused(far: Far) -> None:
    far.writer.write(b"+OK\r\n")
    await eventually(far._plain.can_read)
    with pytest.raises(ConnectionError, match="not asked for"):
        await far.read()


async def test_a_connection_that_was_closed_is_refused(far: Far) -> None:
    await far.connection.close()
    with pytest.raises(ConnectionError):
        await far.read()

"""A connection between a server and a transport that only note what they are told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from kit.waiting import eventually
from tradecast.engine.connection import (
    CLIENT_DISCONNECT,
    INBOX,
    PING_TIMEOUT,
    SERVER_DISCONNECT,
    TRANSPORT_ERROR,
    Connection,
)
from tradecast.engine.message import Message
from tradecast.engine.packets import Malformed
from unit.engine.clock import Clock
from unit.engine.hosts import FakeHost, FakeTransport, Gate


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def connection(host: FakeHost, transport: FakeTransport) -> Connection:
    return Connection(host, "sid", transport)


@pytest.fixture
def gate(host: FakeHost) -> Gate:
    gate = Gate()
    host.handler = gate.handle
    return gate


# -- packets


def test_messages_reach_the_handler_at_once_and_in_order(host: FakeHost, connection: Connection) -> None:
    connection.receive("4a")
    connection.receive(b"\x00")
    connection.receive("4")
    connection.receive(b"")
    assert host.handled == ["a", b"\x00", "", b""]


def test_close_packet_ends_it(host: FakeHost, connection: Connection, transport: FakeTransport) -> None:
    connection.receive("1")
    assert (connection.reason, host.gone) == (CLIENT_DISCONNECT, [("sid", CLIENT_DISCONNECT)])
    assert transport.closed == 1000
    assert transport.sent == [], "CLOSE would be final for some clients"


@pytest.mark.parametrize("packet", ["", "0", "0{}", "2", "2probe", "3probe", "5", "6", "7", "x", "3" + "x" * 200])
def test_what_no_client_sends_is_malformed_and_changes_nothing(
    host: FakeHost, connection: Connection, packet: str
) -> None:
    with pytest.raises(Malformed):
        connection.receive(packet)
    assert not connection.closed
    connection.receive("4a")
    assert host.handled == ["a"]


def test_nothing_is_taken_after_the_end(host: FakeHost, connection: Connection) -> None:
    connection.end(SERVER_DISCONNECT)
    for packet in ("4a", b"a", "3", "x"):
        connection.receive(packet)
    assert host.handled == []
    assert host.notes.told == []


# -- handlers that wait


async def test_later_packets_wait_for_a_handler_and_keep_their_order(
    host: FakeHost, connection: Connection, gate: Gate
) -> None:
    for packet in ("4a", "4b", b"c", "4d"):
        connection.receive(packet)
    await eventually(lambda: gate.running == ["a"])
    assert host.handled == ["a"], "not even decoded"
    gate.open()
    await eventually(lambda: gate.running == ["a", "b"])
    gate.open(2)
    await eventually(lambda: gate.running == ["a", "b", b"c", "d"])
    connection.receive("4e")
    assert host.handled == ["a", "b", b"c", "d"]
    gate.open(2)
    await eventually(lambda: gate.done == ["a", "b", b"c", "d", "e"])
    await eventually(lambda: host.working == {})


async def test_handlers_that_do_not_wait_keep_their_turn_among_those_that_do(
    host: FakeHost, connection: Connection
) -> None:
    order: list[str | bytes] = []
    go_on = asyncio.Event()

    async def slow(data: str | bytes) -> None:
        await go_on.wait()
        order.append(data)

    host.handler = lambda data: slow(data) if data in ("a", "c") else order.append(data)
    for name in "abcd":
        connection.receive("4" + name)
    assert order == []
    go_on.set()
    await eventually(lambda: len(order) == 4)
    assert order == ["a", "b", "c", "d"]
    connection.receive("4e")
    assert order[-1] == "e", "nobody waits any more: at once"


async def test_failed_handler_does_not_stop_the_next_one(
    host: FakeHost, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("planted")

    host.handler = lambda data: fail() if data == "a" else None
    for name in "abab":
        connection.receive("4" + name)
    await eventually(lambda: host.handled == ["a", "b", "a", "b"])
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) >= 1
    assert not connection.closed


async def test_client_with_a_full_inbox_is_not_read_until_half_of_it_is_done(
    connection: Connection, transport: FakeTransport, gate: Gate
) -> None:
    connection.receive("4first")
    for n in range(INBOX - 1):
        connection.receive(f"4{n}")
    reading = [transport.reading]
    connection.receive("4last")
    reading.append(transport.reading)
    connection.receive("4on its way already")
    await eventually(lambda: gate.running)
    gate.open(INBOX // 2)
    await eventually(lambda: len(gate.done) == INBOX // 2)
    reading.append(transport.reading)
    assert reading == [True, False, False]
    gate.open(2)
    await eventually(lambda: transport.reading)
    gate.open(INBOX)
    await eventually(lambda: len(gate.done) == INBOX + 2)
    assert transport.reading
    assert transport.pauses == 1


async def test_transport_that_takes_over_meanwhile_is_not_read_either(connection: Connection, gate: Gate) -> None:
    for n in range(INBOX + 1):
        connection.receive(f"4{n}")
    other = FakeTransport()
    connection.adopt(other)
    assert not other.reading
    gate.open(INBOX + 1)
    await eventually(lambda: other.reading)
    assert connection.transport is other


async def test_what_waits_is_dropped_with_the_end(host: FakeHost, connection: Connection, gate: Gate) -> None:
    for n in range(INBOX + 1):
        connection.receive(f"4{n}")
    await eventually(lambda: gate.running == ["0"])
    connection.lost(TRANSPORT_ERROR)
    gate.open(INBOX + 1)
    await eventually(lambda: gate.done == ["0"])
    await connection.until_it_may_send()
    assert host.handled == ["0"]


async def test_until_it_may_send(connection: Connection, gate: Gate) -> None:
    for n in range(INBOX):
        connection.receive(f"4{n}")
    await connection.until_it_may_send()  # at once: there is room
    connection.receive("4one more")
    waiting = asyncio.create_task(connection.until_it_may_send())
    await eventually(lambda: gate.running)
    gate.open(INBOX // 2 - 1)
    await eventually(lambda: len(gate.done) == INBOX // 2 - 1)
    assert not waiting.done()
    gate.open()
    await asyncio.wait_for(waiting, 20)
    assert len(gate.done) == INBOX // 2
    gate.open(INBOX)
    await eventually(lambda: len(gate.done) == INBOX + 1)


async def test_until_it_may_send_ends_with_the_connection(connection: Connection, gate: Gate) -> None:
    for n in range(INBOX + 1):
        connection.receive(f"4{n}")
    waiting = asyncio.create_task(connection.until_it_may_send())
    await eventually(lambda: gate.running)
    connection.lost(TRANSPORT_ERROR)
    await asyncio.wait_for(waiting, 20)
    assert gate.done == []
    gate.open()


# -- out


def test_sent_in_order_and_nothing_after_the_end(connection: Connection, transport: FakeTransport) -> None:
    connection.deliver(Message(["a"]))
    connection.deliver(Message(["b", b"c"]))
    connection.end(SERVER_DISCONNECT)
    connection.deliver(Message(["d"]))
    assert transport.sent == ["4a", "4b", b"c"]


# -- the end


def test_it_ends_once_and_for_the_first_reason(
    host: FakeHost, connection: Connection, transport: FakeTransport
) -> None:
    connection.end(SERVER_DISCONNECT, 1001)
    connection.end(PING_TIMEOUT)
    connection.abort(TRANSPORT_ERROR)
    connection.lost(TRANSPORT_ERROR)
    assert connection.reason == SERVER_DISCONNECT
    assert host.gone == [("sid", SERVER_DISCONNECT)]
    assert transport.closed == 1001


def test_abort_closes_at_once(host: FakeHost, connection: Connection, transport: FakeTransport) -> None:
    connection.abort(TRANSPORT_ERROR)
    assert (transport.closed, host.gone) == (0, [("sid", TRANSPORT_ERROR)])


def test_lost_transport_is_left_alone(host: FakeHost, connection: Connection, transport: FakeTransport) -> None:
    connection.lost(TRANSPORT_ERROR)
    assert (transport.closed, host.gone) == (None, [("sid", TRANSPORT_ERROR)])


# -- heartbeats


class Beating:
    """A connection whose heartbeats begin, on a clock of the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self.clock)
        self.host = FakeHost()
        self.transport = FakeTransport()
        self.connection = Connection(self.host, "sid", self.transport)
        self.connection.start_heartbeat(self.host.ping_interval)

    @property
    def pings(self) -> int:
        """How many were sent."""
        return self.transport.sent.count("2")


@pytest.fixture
def beating(monkeypatch: pytest.MonkeyPatch) -> Beating:
    return Beating(monkeypatch)


def test_heartbeat_comes_an_interval_after_the_answer_to_the_one_before(beating: Beating) -> None:
    for n in range(1, 4):
        beating.clock.advance(23.9)
        assert beating.pings == n - 1
        beating.clock.advance(1.2)
        assert beating.pings == n
        beating.clock.advance(10)
        beating.connection.receive("3")
    assert beating.host.notes.told == [("sent", "sid"), ("answered", "sid")] * 3
    assert not beating.connection.closed


def test_it_is_notified_before_it_is_sent(beating: Beating) -> None:
    order: list[str] = []
    beating.host.observer.heartbeat_sent = lambda sid: order.append("told")  # type: ignore[method-assign]
    beating.transport.send = lambda message: order.append("sent")  # type: ignore[method-assign]
    beating.clock.advance(25.1)
    assert order == ["told", "sent"]


def test_client_that_does_not_answer_is_ended_not_before_its_time(beating: Beating) -> None:
    beating.clock.advance(25)
    assert beating.pings == 1
    beating.clock.advance(19)
    assert not beating.connection.closed
    assert not beating.connection.overdue
    beating.clock.advance(2.1)
    assert beating.connection.reason == PING_TIMEOUT
    assert beating.transport.gone, "if it lives after all, it comes back"
    assert beating.pings == 1


def test_answer_in_the_last_moment_counts(beating: Beating) -> None:
    beating.clock.advance(25)
    beating.clock.advance(19.9)
    beating.connection.receive("3")
    beating.clock.advance(20)
    assert not beating.connection.closed


def test_other_packets_are_no_answer(beating: Beating) -> None:
    beating.clock.advance(25)
    for _ in range(22):
        beating.connection.receive("4x")
        beating.clock.advance(1)
    assert beating.connection.reason == PING_TIMEOUT


def test_overdue(beating: Beating) -> None:
    assert not beating.connection.overdue
    beating.clock.advance(25)
    assert not beating.connection.overdue
    beating.clock.now += 20.5  # the wheel has not turned yet
    assert beating.connection.overdue


def test_late_because_the_loop_stalled_it_is_not_ended_before_the_answer_could_be_read(beating: Beating) -> None:
    beating.clock.advance(25)
    beating.clock.stall(60)
    assert not beating.connection.closed
    beating.connection.receive("3")  # it lay in the socket
    beating.clock.advance(24.9)
    assert not beating.connection.closed


def test_late_because_the_loop_stalled_and_without_an_answer_it_is_ended_a_tick_later(beating: Beating) -> None:
    beating.clock.advance(25)
    beating.clock.stall(60)
    beating.clock.advance(2.1)
    assert beating.connection.reason == PING_TIMEOUT


def test_unasked_answer_is_none_and_puts_the_next_heartbeat_off(beating: Beating) -> None:
    beating.clock.advance(20)
    beating.connection.receive("3")
    assert beating.host.notes.told == []
    beating.clock.advance(20)
    assert beating.pings == 0
    beating.clock.advance(5.1)
    assert beating.pings == 1


def test_nothing_is_due_after_the_end(beating: Beating) -> None:
    beating.connection.end(SERVER_DISCONNECT)
    beating.clock.advance(100)
    assert beating.pings == 0
    assert beating.host.gone == [("sid", SERVER_DISCONNECT)]


async def test_answers_count_while_a_handler_waits(host: FakeHost, connection: Connection, gate: Gate) -> None:
    connection.receive("4a")
    connection.receive("4b")
    connection.on_due(stalled=False)
    connection.receive("3")
    assert host.notes.told == [("sent", "sid"), ("answered", "sid")]
    assert not connection.overdue
    gate.open(2)
    await eventually(lambda: gate.done == ["a", "b"])


async def test_client_that_is_not_read_is_not_ended_for_want_of_an_answer(
    host: FakeHost, connection: Connection, transport: FakeTransport, gate: Gate
) -> None:
    host.ping_timeout = 0
    for n in range(INBOX + 1):
        connection.receive(f"4{n}")
    assert not transport.reading
    connection.on_due(stalled=False)
    assert transport.sent == ["2"]
    connection.on_due(stalled=False)  # overdue, but nothing of it was read
    assert not connection.closed
    gate.open(INBOX + 1)
    await eventually(lambda: transport.reading)
    connection.on_due(stalled=False)
    assert connection.reason == PING_TIMEOUT


# -- handlers that end otherwise than they should


async def test_handler_that_is_cancelled_by_what_it_waits_for_stops_no_other(
    host: FakeHost, connection: Connection
) -> None:
    waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        await waited

    host.handler = lambda data: wait() if data == "first" else None
    for name in ("first", "second", "third"):
        connection.receive("4" + name)
    waited.cancel()
    await eventually(lambda: host.handled == ["first", "second", "third"])
    assert not connection.closed


async def test_client_that_was_not_read_is_read_again_when_it_is_ended(
    host: FakeHost, connection: Connection, transport: FakeTransport, gate: Gate
) -> None:
    """Else its answer to our close frame is not seen."""
    for n in range(INBOX + 1):
        connection.receive(f"4{n}")
    before = transport.reading
    connection.end(SERVER_DISCONNECT)
    assert (before, transport.reading) == (False, True)
    gate.open()

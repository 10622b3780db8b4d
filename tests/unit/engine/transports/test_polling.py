"""The polling transport: what waits for a client until it asks."""

from __future__ import annotations

import pytest

from tradecast.engine.connection import TRANSPORT_ERROR, Connection
from tradecast.engine.message import Message
from tradecast.engine.transports.polling import PollingTransport, PollOverlap
from unit.engine.hosts import FakeHost


def polling(host: FakeHost) -> PollingTransport:
    """A transport with its connection."""
    transport = PollingTransport(host)
    transport.connection = Connection(host, "sid", transport)
    return transport


@pytest.fixture
def host() -> FakeHost:
    return FakeHost(messages=3, size=1000)


@pytest.fixture
def transport(host: FakeHost) -> PollingTransport:
    return polling(host)


async def test_what_waits_is_the_answer_at_once_and_only_once(transport: PollingTransport) -> None:
    transport.send(Message(["a"]))
    transport.send(Message(["b", b"\x01"]))
    assert transport.poll().result() == b"4a\x1e4b\x1ebAQ=="
    assert not transport.polled
    assert not transport.poll().done()


async def test_what_is_sent_in_a_turn_is_one_answer_at_its_end(host: FakeHost, transport: PollingTransport) -> None:
    answer = transport.poll()
    assert transport.polled
    transport.send(Message(["a"]))
    transport.send(Message(["b"]))
    assert not answer.done()
    assert len(host.to_flush) == 1
    host.flush()
    assert answer.result() == b"4a\x1e4b"
    transport.send(Message(["c"]))
    assert host.to_flush == [], "nobody asks"
    assert transport.poll().result() == b"4c"


async def test_answer_that_went_by_another_way_is_not_sent_again(host: FakeHost, transport: PollingTransport) -> None:
    answer = transport.poll()
    transport.send(Message(["a"]))
    assert [message.parts for message in transport.take_unsent()] == [["a"]]
    host.flush()
    assert not answer.done()


async def test_second_poll_ends_the_first(transport: PollingTransport) -> None:
    first = transport.poll()
    with pytest.raises(PollOverlap):
        transport.poll()
    assert first.result() == b"1"


async def test_close_answers_the_poll_behind_what_waits(transport: PollingTransport) -> None:
    answer = transport.poll()
    transport.send(Message(["a"]))
    transport.close()
    assert answer.result() == b"4a\x1e6"
    transport.send(Message(["b"]))
    transport.close()
    assert transport.take_unsent() == []


async def test_abort_drops_what_waits(transport: PollingTransport) -> None:
    answer = transport.poll()
    transport.send(Message(["a"]))
    transport.abort()
    assert answer.result() == b"6"


async def test_client_that_does_not_ask_is_cut_off(host: FakeHost, transport: PollingTransport) -> None:
    for _ in range(3):
        transport.send(Message(["a"]))
    assert host.gone == []
    transport.send(Message(["a"]))
    assert host.gone == [("sid", TRANSPORT_ERROR)]
    assert host.notes.told == [("too slow",)]


async def test_client_that_does_not_ask_is_cut_off_by_size(host: FakeHost, transport: PollingTransport) -> None:
    transport.send(Message(["a" * 5000]))
    assert host.gone == [], "a single message may be larger"
    transport.send(Message(["a"]))
    assert host.gone == [("sid", TRANSPORT_ERROR)]


async def test_client_that_asks_is_not_cut_off(host: FakeHost, transport: PollingTransport) -> None:
    answer = transport.poll()
    for _ in range(10):
        transport.send(Message(["a" * 500]))
    host.flush()
    assert (answer.done(), host.gone) == (True, [])


# -- while a WebSocket is probed


async def test_poll_is_let_go_when_a_websocket_is_probed_and_so_are_later_ones(transport: PollingTransport) -> None:
    answer = transport.poll()
    transport.begin_upgrade()
    assert answer.result() == b"6"
    assert transport.poll().result() == b"6"
    transport.send(Message(["a"]))
    assert transport.poll().result() == b"4a"


async def test_what_was_sent_in_the_turn_of_the_probe_goes_before(transport: PollingTransport) -> None:
    answer = transport.poll()
    transport.send(Message(["a"]))
    transport.begin_upgrade()
    assert answer.result() == b"4a\x1e6"


async def test_polls_wait_again_when_the_upgrade_is_given_up(transport: PollingTransport) -> None:
    transport.begin_upgrade()
    transport.cancel_upgrade()
    assert not transport.poll().done()

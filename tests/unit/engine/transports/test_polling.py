"""The polling transport: what waits for a client until it asks."""

from __future__ import annotations

import asyncio

import pytest

from tradecast.engine.connection import TRANSPORT_ERROR, Connection
from tradecast.engine.message import Message
from tradecast.engine.transports import polling as module
from tradecast.engine.transports.base import UNSENT
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


@pytest.mark.parametrize("polls_first", [True, False], ids=["a poll waits", "it polls later"])
@pytest.mark.parametrize(
    ("message", "fit"),
    [
        (Message(["a"]), 16),  # python-engineio's client ends its connection for more
        (Message(["b", b"\x01", b"\x02"]), 5),
        (Message(["c" * 20_000]), 3),
        (Message(["d" * 100_000]), 1),
        (Message(["e", *[b"\x01"] * 20]), 1),
    ],
    ids=range(5),
)
async def test_an_answer_has_a_bound_and_the_rest_is_the_next_one(
    message: Message, fit: int, *, polls_first: bool
) -> None:
    host = FakeHost(messages=3 if polls_first else 1_000)
    transport = polling(host)
    answers = [transport.poll()] if polls_first else []
    for _ in range(2 * fit + 1):
        transport.send(message)
    host.flush()
    while len(answers) < 3:
        answers.append(transport.poll())
    counts = [answer.result().count(message.payload) for answer in answers]
    assert counts == [fit, fit, 1]
    assert not transport.poll().done()


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
    assert host.notes.told == [("too slow", "queue_full")]


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


def with_key(text: str, key: str) -> Message:
    message = Message([text])
    message.key = key
    return message


async def test_between_two_polls_newer_quotes_replace_older_ones() -> None:
    host = FakeHost()
    transport = polling(host)
    assert transport.is_backed_up
    volatile = Message(["tick"])
    volatile.is_volatile = True
    transport.send(Message(["x" * UNSENT]))
    for n in range(5):
        transport.send(with_key(f"AAPL {n}", "AAPL"))
    transport.send(Message(["trade"]))
    transport.send(volatile)
    assert host.backlog.count() == ({"polling": 1}, 3, UNSENT + 1 + 7 + 6)
    assert transport.poll().result().partition(b"\x1e")[2] == b"4trade\x1e4AAPL 4"
    assert (host.backlog.conflated, host.backlog.dropped) == (4, 1)
    assert host.backlog.count().messages == 0


async def test_a_client_that_keeps_up_misses_nothing_between_two_polls(
    host: FakeHost, transport: PollingTransport
) -> None:
    volatile = Message(["tick"])
    volatile.is_volatile = True
    for message in (with_key("old", "AAPL"), volatile, with_key("new", "AAPL")):
        transport.send(message)
    assert transport.poll().result() == b"4old\x1e4tick\x1e4new"
    assert (host.backlog.conflated, host.backlog.dropped) == (0, 0)


async def test_while_a_poll_waits_it_gets_every_quote(host: FakeHost, transport: PollingTransport) -> None:
    answer = transport.poll()
    assert not transport.is_backed_up
    for n in range(2):
        transport.send(with_key(str(n), "AAPL"))
    host.flush()
    assert answer.result() == b"40\x1e41"


async def test_an_answer_is_not_too_large_and_the_rest_may_still_be_replaced() -> None:
    transport = polling(FakeHost(messages=100))
    size = module.ANSWER_BYTES // 4 - 1
    for n in range(6):
        transport.send(Message([f"{n}" + "x" * (size - 2)]))
    transport.send(with_key("old", "AAPL"))
    first = transport.poll().result()
    assert [part[:2] for part in first.split(b"\x1e")] == [b"4%d" % n for n in range(4)]
    transport.send(with_key("new", "AAPL"))
    rest = transport.poll().result().split(b"\x1e")
    assert [part[:2] for part in rest] == [b"44", b"45", b"4n"]
    assert not transport.poll().done()


async def test_a_single_message_may_be_larger_than_an_answer(transport: PollingTransport) -> None:
    transport.send(Message(["x" * 2 * module.ANSWER_BYTES]))
    assert len(transport.poll().result()) == 2 * module.ANSWER_BYTES + 1


async def test_what_waits_for_a_room_that_was_left_is_not_sent(transport: PollingTransport) -> None:
    transport.discard(("portfolio:u",), ())  # nothing waits
    event = Message(["trade"])
    event.rooms = ("portfolio:u",)
    transport.send(event)
    transport.send(Message(["unsubscribed"]))
    transport.discard(("portfolio:u",), ())
    assert transport.poll().result() == b"4unsubscribed"


async def test_client_that_polls_too_rarely_is_cut_off(host: FakeHost, transport: PollingTransport) -> None:
    transport.send(Message(["a"]))
    transport.cut_off("slow")
    assert host.gone == [("sid", TRANSPORT_ERROR)]
    assert host.notes.told == [("too slow", "slow")]
    assert host.backlog.count().messages == 0


async def test_waiter_is_notified_when_an_answer_has_taken_all_that_waited(
    host: FakeHost, transport: PollingTransport
) -> None:
    drained: list[str] = []

    class Waiter:
        def on_drained(self, eio_sid: str) -> None:
            drained.append(eio_sid)

    for _ in range(2):
        transport.send(Message(["x" * module.ANSWER_BYTES]))
        host.limits.size = 1_000_000
    host.backlog.notify("sid", Waiter())
    for expected in ([], ["sid"]):
        transport.poll()
        await asyncio.sleep(0)
        assert drained == expected


async def test_messages_of_a_window_are_one_answer(host: FakeHost, transport: PollingTransport) -> None:
    answer = transport.poll()
    message = Message(["a"])
    message.window = 3_600
    transport.send_in_window(message)
    transport.send_in_window(message)
    assert (answer.done(), host.to_flush) == (False, [])
    host.windows.flush()
    assert answer.result() == b"4a\x1e4a"
    transport.send_in_window(message)
    assert transport.poll().result() == b"4a"


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

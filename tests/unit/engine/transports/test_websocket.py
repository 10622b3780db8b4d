"""The WebSocket transport on a connection that only notes what is written."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from websockets.frames import Opcode

from kit.clients.raw import client_frame
from kit.network.recording_transport import RecordingTransport
from kit.waiting import eventually
from tradecast.engine import budget, turns
from tradecast.engine.connection import TRANSPORT_CLOSE, TRANSPORT_ERROR, Connection
from tradecast.engine.frames import BINARY, CLOSE, PONG, TEXT, close_frame, encode_frame
from tradecast.engine.message import Message
from tradecast.engine.transports import websocket as module
from tradecast.engine.transports.websocket import WebSocketTransport
from unit.engine.hosts import FakeHost


class Wire(RecordingTransport):
    """The connection. `full` says whether it takes more."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.full = False
        self.protocol: WebSocketTransport | None = None

    def write(self, data: bytes) -> None:
        assert self.state == "open", "written to what is closed"
        assert not self.half_closed, "written behind the end"
        self.writes.append(bytes(data))
        if self.full and self.protocol is not None and not self.protocol._paused:
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.writes)) if self.full else 0

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)


class Case:
    """A WebSocket with its connection."""

    def __init__(self, **limits: int) -> None:
        self.host = FakeHost(**limits)
        self.wire = Wire()
        self.registry: set[Any] = set()
        self.transport = WebSocketTransport(self.host, cast(asyncio.Transport, self.wire), self.registry)
        self.registry.add(self.transport)
        self.wire.protocol = self.transport
        self.connection = Connection(self.host, "sid", self.transport)
        self.transport.receiver = self.connection

    def receive(self, *frames: bytes) -> None:
        """Bytes that come in one piece."""
        self.transport.data_received(b"".join(frames))

    @property
    def reasons(self) -> list[str]:
        """Why the connection ended."""
        return [reason for _, reason in self.host.gone]


def text(payload: str, *, fin: bool = True) -> bytes:
    """A client's frame."""
    return client_frame(Opcode.TEXT, payload, fin=fin)


def of(opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame."""
    return client_frame(opcode, payload, fin=fin)


@pytest.fixture
async def case() -> Case:
    return Case()


# -- out


async def test_what_is_sent_in_a_turn_is_one_write_behind_the_answer_to_the_handshake(case: Case) -> None:
    case.transport.begin(b"HTTP/1.1 101\r\n\r\n")
    case.connection.deliver(Message(["a"]))
    case.connection.deliver(Message(["b", b"\x00"]))
    assert case.wire.writes == []
    case.host.flush()
    assert case.wire.writes == [
        b"HTTP/1.1 101\r\n\r\n" + encode_frame(TEXT, b"4a") + encode_frame(TEXT, b"4b") + encode_frame(BINARY, b"\0")
    ]
    case.host.flush()
    assert len(case.wire.writes) == 1


async def test_answers_to_what_came_in_one_piece_are_one_write_before_the_turn_ends(case: Case) -> None:
    case.host.handler = lambda data: case.connection.deliver(Message([data]))
    case.receive(text("4a"), text("4b"), of(Opcode.PING, b"p"))
    assert case.wire.writes == [encode_frame(TEXT, b"4a") + encode_frame(TEXT, b"4b") + encode_frame(PONG, b"p")]


async def test_what_is_sent_between_two_pieces_keeps_its_order(case: Case) -> None:
    case.host.handler = lambda data: case.connection.deliver(Message([data]))
    case.connection.deliver(Message(["before"]))
    case.receive(text("4a"))
    case.connection.deliver(Message(["after"]))
    case.host.flush()
    assert case.wire.written == b"".join(encode_frame(TEXT, one) for one in (b"4before", b"4a", b"4after"))


async def test_while_the_socket_takes_no_more_messages_wait_in_order(case: Case) -> None:
    case.transport.pause_writing()
    for n in range(3):
        case.connection.deliver(Message([str(n)]))
    case.host.flush()
    assert case.wire.writes == []
    case.transport.resume_writing()
    case.connection.deliver(Message(["3"]))
    case.host.flush()
    assert case.wire.written == b"".join(encode_frame(TEXT, b"4%d" % n) for n in range(4))


async def test_socket_that_is_full_again_gets_as_much_as_it_takes(case: Case) -> None:
    case.transport.pause_writing()
    for n in range(5):
        case.connection.deliver(Message([str(n)]))
    case.wire.full = True
    case.transport.resume_writing()
    assert len(case.wire.writes) == 1
    assert case.transport.is_backed_up
    case.connection.deliver(Message(["5"]))
    case.wire.full = False
    case.transport.resume_writing()
    case.host.flush()
    assert case.wire.written == b"".join(encode_frame(TEXT, b"4%d" % n) for n in range(6))


async def test_what_was_sent_before_the_pause_and_not_flushed_counts_and_keeps_its_place(case: Case) -> None:
    case.connection.deliver(Message(["a"]))
    case.transport.pause_writing()
    case.connection.deliver(Message(["b"]))
    case.host.flush()
    assert case.wire.writes == []
    case.transport.resume_writing()
    assert case.wire.written == encode_frame(TEXT, b"4a") + encode_frame(TEXT, b"4b")


@pytest.mark.parametrize(("limits", "size"), [({"messages": 3}, 1), ({"size": 1000}, 400)])
async def test_client_that_does_not_read_is_cut_off(limits: dict[str, int], size: int) -> None:
    case = Case(**limits)
    case.transport.pause_writing()
    for _ in range(3):
        case.connection.deliver(Message(["x" * size]))
    assert case.wire.state == "open"
    case.connection.deliver(Message(["x"]))
    assert case.wire.state == "aborted"
    assert case.host.notes.told == [("too slow", "queue_full")]
    case.transport.connection_lost(None)
    assert len(case.reasons) == 1
    case.connection.deliver(Message(["x"]))  # of no effect
    assert case.wire.writes == []


async def test_bytes_that_the_socket_holds_count_too() -> None:
    case = Case(size=1000)
    case.wire.full = True
    case.connection.deliver(Message(["x" * 5000]))
    case.host.flush()
    assert case.transport._paused
    case.connection.deliver(Message(["a"]))
    assert case.wire.state == "open", "a single message may be larger"
    case.connection.deliver(Message(["b"]))
    assert case.wire.state == "aborted"


def with_key(text: str, key: str) -> Message:
    message = Message([text])
    message.key = key
    return message


async def test_while_the_socket_takes_no_more_newer_quotes_replace_older_ones_and_trades_go_first(case: Case) -> None:
    case.transport.pause_writing()
    for n in range(3):
        case.connection.deliver(with_key(f"AAPL {n}", "AAPL"))
        case.connection.deliver(Message([f"trade {n}"]))
    volatile = Message(["tick"])
    volatile.is_volatile = True
    case.connection.deliver(volatile)
    case.connection.on_due(stalled=False)
    case.transport.resume_writing()
    expected = (b"4trade 0", b"4trade 1", b"4trade 2", b"2", b"4AAPL 2")
    assert case.wire.written == b"".join(encode_frame(TEXT, one) for one in expected)
    assert (case.host.backlog.conflated, case.host.backlog.dropped) == (2, 1)
    assert case.transport.outbox is None


async def test_a_client_that_keeps_up_gets_every_quote(case: Case) -> None:
    for n in range(3):
        case.connection.deliver(with_key(str(n), "AAPL"))
    case.host.flush()
    assert case.wire.written == b"".join(encode_frame(TEXT, b"4%d" % n) for n in range(3))
    assert not case.transport.is_backed_up
    assert case.transport.outbox is None


async def test_socket_is_asked_to_report_as_soon_as_it_takes_no_more(case: Case) -> None:
    case.transport.begin(b"HTTP/1.1 101\r\n\r\n")
    assert case.wire.limits == (1, 0)


async def test_what_waits_is_written_in_small_pieces(case: Case) -> None:
    case.transport.pause_writing()
    for _ in range(20):
        case.connection.deliver(Message(["x" * 500]))
    case.wire.full = True
    case.transport.resume_writing()
    assert len(case.wire.written) <= module.DRAINED_AT_ONCE + 200
    outbox = case.transport.outbox
    assert outbox is not None
    assert len(outbox) == 18


async def test_what_waits_for_a_room_that_was_left_is_not_sent(case: Case) -> None:
    case.transport.discard(("watchlist:AAPL",), ())  # nothing waits
    case.transport.pause_writing()
    quote = with_key("quote", "AAPL")
    quote.rooms = ("watchlist:AAPL",)
    case.connection.deliver(quote)
    case.connection.deliver(Message(["unsubscribed"]))
    case.transport.discard(("watchlist:AAPL",), ("user:u",))
    case.transport.resume_writing()
    assert case.wire.written == encode_frame(TEXT, b"4unsubscribed")


async def test_slow_client_is_cut_off_as_if_the_network_had_failed(case: Case) -> None:
    case.transport.pause_writing()
    case.connection.deliver(Message(["a"]))
    assert case.host.backlog.count().clients == {"websocket": 1}
    case.transport.cut_off("slow")
    assert (case.wire.state, case.wire.writes) == ("aborted", []), "no close frame"
    assert case.host.notes.told == [("too slow", "slow")]
    assert case.host.backlog.count().clients == {}
    case.transport.resume_writing()
    assert case.wire.writes == []


async def test_waiter_is_notified_when_the_socket_has_taken_all(case: Case) -> None:
    drained: list[str] = []

    class Waiter:
        def on_drained(self, eio_sid: str) -> None:
            drained.append(eio_sid)

    case.transport.pause_writing()
    case.host.backlog.notify("sid", Waiter())
    for _ in range(20):
        case.connection.deliver(Message(["x" * 500]))
    case.wire.full = True
    case.transport.resume_writing()
    await asyncio.sleep(0)
    assert drained == [], "something still waits"
    case.wire.full = False
    case.transport.resume_writing()
    await asyncio.sleep(0)
    assert drained == ["sid"]


async def test_replacing_is_no_reason_to_cut_off() -> None:
    case = Case(messages=2)
    case.transport.pause_writing()
    for n in range(10):
        case.connection.deliver(with_key(f"AAPL {n}", "AAPL"))
        case.connection.deliver(with_key(f"MSFT {n}", "MSFT"))
    assert case.wire.state == "open"
    case.connection.deliver(with_key("TSLA", "TSLA"))
    assert case.wire.state == "aborted"


async def test_values_that_grow_while_they_wait_have_a_bound() -> None:
    """Ten thousand keys that begin small could come to hold a megabyte each."""
    case = Case(messages=3, size=1_000)
    case.transport.pause_writing()
    case.connection.deliver(with_key("x" * 2_000, "AAPL"))
    case.connection.deliver(with_key("x" * 3_000, "AAPL"))  # a single one may be larger
    case.connection.deliver(with_key("x", "AAPL"))
    for _ in range(2):
        for key in ("AAPL", "MSFT", "TSLA"):
            case.connection.deliver(with_key("x" * 300, key))
    case.connection.deliver(with_key("x" * 900, "AAPL"))
    case.connection.deliver(with_key("x" * 900, "AAPL"))
    assert case.wire.state == "open"
    case.connection.deliver(with_key("x" * 100, "MSFT"))  # less than before
    case.connection.deliver(with_key("x" * 101, "MSFT"))
    assert case.wire.state == "aborted"
    assert case.host.notes.told == [("too slow", "queue_full")]


async def test_what_another_transport_could_not_send_is_sent_as_far_as_the_socket_takes_it(case: Case) -> None:
    case.connection.deliver(Message(["3probe"]))
    case.wire.full = True
    case.transport.take_over([Message(["trade"]), with_key("quote 1", "AAPL")])
    assert case.wire.written == encode_frame(TEXT, b"43probe")
    case.connection.deliver(with_key("quote 2", "AAPL"))
    case.wire.full = False
    case.transport.resume_writing()
    assert case.wire.written == b"".join(encode_frame(TEXT, b"4" + one) for one in (b"3probe", b"trade", b"quote 2"))


# -- windows


def in_window(text: str) -> Message:
    message = Message([text])
    message.window = 3_600.0
    return message


async def test_messages_of_a_window_are_one_write_when_it_closes(case: Case) -> None:
    case.transport.send_in_window(in_window("a"))
    case.transport.send_in_window(in_window("b"))
    case.host.flush()
    assert (case.wire.writes, case.host.to_flush) == ([], [])
    case.host.windows.flush()
    assert case.wire.writes == [encode_frame(TEXT, b"4a") + encode_frame(TEXT, b"4b")]
    case.host.windows.close()


@pytest.mark.parametrize("heartbeat", [True, False])
async def test_any_other_message_takes_along_what_waits_for_its_window(case: Case, heartbeat: bool) -> None:
    case.transport.send_in_window(in_window("a"))
    if heartbeat:
        case.connection.on_due(stalled=False)
    else:
        case.connection.deliver(Message(["2"]))
    case.transport.send_in_window(in_window("b"))
    case.host.flush()
    packet = b"2" if heartbeat else b"42"
    assert case.wire.writes == [encode_frame(TEXT, b"4a") + encode_frame(TEXT, packet) + encode_frame(TEXT, b"4b")]
    case.host.windows.flush()
    assert len(case.wire.writes) == 1


async def test_messages_of_a_window_wait_in_order_with_others_while_the_socket_takes_no_more(case: Case) -> None:
    case.transport.send_in_window(in_window("a"))
    case.transport.pause_writing()
    case.transport.send_in_window(in_window("b"))
    case.host.windows.flush()
    assert case.wire.writes == []
    case.transport.resume_writing()
    assert case.wire.written == encode_frame(TEXT, b"4a") + encode_frame(TEXT, b"4b")
    case.connection.end("server disconnect")
    case.transport.send_in_window(in_window("late"))
    assert case.wire.written.endswith(close_frame(1000))


# -- the end


async def test_what_waits_goes_before_the_close_frame_and_nothing_behind_it(case: Case) -> None:
    case.connection.deliver(Message(["a"]))
    case.connection.on_due(stalled=False)
    case.connection.end("server disconnect", 1001)
    case.transport.send(Message(["b"]))
    case.host.flush()
    assert case.wire.written == encode_frame(TEXT, b"4a") + encode_frame(TEXT, b"2") + close_frame(1001)
    assert case.wire.state == "open", "the client may answer"
    assert case.host.leaving == {case.transport}


async def test_answered_close_closes(case: Case) -> None:
    case.connection.end("server disconnect")
    case.receive(of(Opcode.CLOSE, b"\x03\xe8"))
    assert case.wire.state == "closed"
    assert case.wire.written == close_frame(1000), "one close frame"
    case.transport.connection_lost(None)
    assert (case.host.leaving, case.registry) == (set(), set())
    assert case.reasons == ["server disconnect"]


async def test_client_that_does_not_answer_the_close_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER", 0.05)
    case = Case()
    case.connection.end("server disconnect")
    await eventually(lambda: case.wire.state == "aborted")


async def test_what_comes_behind_our_close_is_discarded_within_a_bound(case: Case) -> None:
    case.connection.end("server disconnect")
    case.receive(text("4late"), of(Opcode.PING))
    data = of(Opcode.PING, b"x" * 100) * 1_000
    for _ in range(module.LINGER_BYTES // len(data)):
        case.receive(data)
    assert case.wire.state == "open"
    case.receive(data)
    assert case.wire.state == "aborted"
    assert case.host.notes.told == [("limit", "after_close")]
    assert case.wire.written == close_frame(1000)


async def test_client_that_reads_nothing_is_dropped_too_and_gets_what_waits_until_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.05)
    monkeypatch.setattr(module, "GOODBYE", 0.1)
    case = Case()
    case.wire.full = True
    case.transport.pause_writing()
    case.connection.deliver(Message(["a"]))
    case.connection.end("server disconnect")
    assert case.wire.written == encode_frame(TEXT, b"4a") + close_frame(1000)
    await eventually(lambda: case.wire.state == "aborted")


async def test_shutdown_says_that_the_server_goes(case: Case) -> None:
    case.transport.shutdown()
    assert case.wire.written == close_frame(1001)
    assert case.reasons == [TRANSPORT_CLOSE]


async def test_nothing_is_handled_once_the_server_has_said_that_it_ends(case: Case) -> None:
    case.connection.end("server disconnect")
    case.receive(text("4a"), of(Opcode.PING), text("x"), of(Opcode.BINARY, b"b"))
    assert case.host.handled == []
    assert case.host.notes.told == []
    assert case.wire.written == close_frame(1000)


@pytest.mark.parametrize(("error", "reason"), [(None, TRANSPORT_CLOSE), (ConnectionResetError(), TRANSPORT_ERROR)])
async def test_lost_connection_ends_it(case: Case, error: Exception | None, reason: str) -> None:
    case.connection.deliver(Message(["a"]))
    case.transport.connection_lost(error)
    case.host.flush()
    assert case.reasons == [reason]
    assert case.wire.writes == []
    assert case.registry == set()


async def test_end_of_what_the_client_sends_closes(case: Case) -> None:
    assert not case.transport.eof_received()


@pytest.mark.parametrize(
    ("payload", "answer"),
    [(b"", 1000), (b"\x03\xe8", 1000), (b"\x03\xe9gone", 1001), (b"\x0f\xa0", 4000)],
)
async def test_close_of_the_client_is_answered_with_its_code(case: Case, payload: bytes, answer: int) -> None:
    case.receive(of(Opcode.CLOSE, payload), text("4late"))
    assert case.wire.written == close_frame(answer)
    assert case.wire.state == "closed"
    assert case.reasons == [TRANSPORT_CLOSE]
    assert case.host.handled == []


@pytest.mark.parametrize(
    ("payload", "answer"),
    [(b"\x03", 1002), (b"\x03\xed", 1002), (b"\0\0", 1002), (b"\x13\x88", 1002), (b"\x03\xe8\xff", 1007)],
)
async def test_close_that_breaks_the_rules_gets_an_error_that_says_so(case: Case, payload: bytes, answer: int) -> None:
    """RFC 6455 §7.1.7: whoever finds the other side to break the rules says so by its own code."""
    case.receive(of(Opcode.CLOSE, payload))
    assert case.wire.state == "closed"
    assert case.wire.written == close_frame(answer)


# -- in


async def test_packets_reach_the_connection(case: Case) -> None:
    case.receive(text("4a"))
    case.receive(text("4" + "é" * 200), of(Opcode.BINARY, b"\x01"), text("4b", fin=False), of(Opcode.CONT, b"c"))
    for byte in text("4d"):
        case.receive(bytes((byte,)))
    assert case.host.handled == ["a", "é" * 200, b"\x01", "bc", "d"]


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126])
async def test_short_way_and_long_way_read_the_same(case: Case, size: int) -> None:
    case.receive(text("4" + "x" * size))
    case.receive(text("4" + "x" * size) + text("4y"))
    assert case.host.handled == ["x" * size, "x" * size, "y"]


async def test_heartbeat_of_the_protocol_is_answered(case: Case) -> None:
    case.receive(of(Opcode.PING, b"p"), of(Opcode.PING), of(Opcode.PONG, b"unasked"))
    assert case.wire.written == encode_frame(PONG, b"p") + encode_frame(PONG, b""), "each, in their order"
    assert not case.connection.closed


async def test_heartbeats_without_end_are_answered_as_far_as_their_budget_goes(case: Case) -> None:
    case.receive(*[of(Opcode.PING, b"%d" % n) for n in range(budget.BURST + 1)])
    answers = b"".join(encode_frame(PONG, b"%d" % n) for n in range(budget.BURST))
    await eventually(lambda: case.connection.closed)  # frames are read in turns
    assert case.wire.written == answers + close_frame(1008)


async def test_heartbeat_is_not_answered_to_who_takes_nothing(case: Case) -> None:
    case.transport.pause_writing()
    case.receive(of(Opcode.PING, b"1"))
    case.transport.resume_writing()
    case.host.flush()
    assert case.wire.written == b""
    case.receive(of(Opcode.PING, b"2"))
    assert case.wire.written == encode_frame(PONG, b"2")


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG])
async def test_too_many_control_frames_end_it(case: Case, opcode: Opcode, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("tradecast.engine.budget.time.monotonic", lambda: clock[0])
    for _ in range(budget.BURST):
        case.receive(of(opcode))
    clock[0] += 1.0
    for _ in range(budget.PER_SECOND):
        case.receive(of(opcode))
    assert not case.connection.closed
    case.receive(of(opcode))
    assert case.reasons == [TRANSPORT_ERROR]
    assert case.wire.written.endswith(close_frame(1008))
    assert case.host.notes.told == [("limit", "control_frames")]


async def test_some_heartbeats_for_ever_are_answered(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("tradecast.engine.budget.time.monotonic", lambda: clock[0])
    for n in range(1_000):
        clock[0] += 1 / budget.PER_SECOND
        case.receive(of(Opcode.PING, b"%d" % n))
    assert not case.connection.closed
    assert case.wire.writes == [encode_frame(PONG, b"%d" % n) for n in range(1_000)]


# -- shares of a turn


async def test_a_turn_reads_some_packets_and_the_next_turns_the_rest_in_order(case: Case) -> None:
    count = 5 * turns.PACKETS_PER_TURN + 3
    case.receive(*[text(f"4{n}") for n in range(count)])
    assert len(case.host.handled) == turns.PACKETS_PER_TURN
    assert not case.wire.reading, "no more comes before that is read"
    shares = [len(case.host.handled)]
    while len(case.host.handled) < count:
        await asyncio.sleep(0)
        shares.append(len(case.host.handled) - sum(shares))
    assert max(shares) == turns.PACKETS_PER_TURN
    assert case.host.handled == [str(n) for n in range(count)]
    await eventually(lambda: case.wire.reading)
    assert len(case.host.turns) == 0


async def test_a_turn_reads_some_bytes(case: Case) -> None:
    size = turns.BYTES_PER_TURN // 4
    case.receive(*[text("4" + "x" * size) for _ in range(12)])
    assert len(case.host.handled) == 4
    await eventually(lambda: len(case.host.handled) == 12)


async def test_a_turn_reads_some_fragments(case: Case) -> None:
    case.receive(of(Opcode.TEXT, b"4", fin=False), *[of(Opcode.CONT, b"x", fin=False)] * 1_000, of(Opcode.CONT, b"y"))
    turns_taken = 1
    while not case.host.handled:
        await asyncio.sleep(0)
        turns_taken += 1
    assert case.host.handled == ["x" * 1_000 + "y"]
    assert turns_taken >= 1_000 // turns.FRAMES_PER_TURN


async def test_a_large_message_is_read_whole(case: Case) -> None:
    case.receive(text("4" + "x" * 500_000))
    assert case.host.handled == ["x" * 500_000]
    assert case.wire.reading


async def test_those_with_more_than_their_share_take_turns() -> None:
    cases = [Case() for _ in range(3)]
    for case in cases[1:]:
        case.host.turns = cases[0].host.turns
    for case in cases:
        case.receive(*[text(f"4{n}") for n in range(3 * turns.PACKETS_PER_TURN)])
    await asyncio.sleep(0)
    assert [len(case.host.handled) for case in cases] == [2 * turns.PACKETS_PER_TURN] * 3
    await eventually(lambda: all(len(case.host.handled) == 3 * turns.PACKETS_PER_TURN for case in cases))


async def test_all_together_have_a_share_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("tradecast.engine.turns.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(turns, "SECONDS_PER_TURN", 0.005)
    shared = turns.Turns()
    cases = [Case() for _ in range(4)]

    def take(data: str | bytes) -> None:
        clock[0] += 1.01 * turns.SECONDS_PER_TURN / turns.PACKETS_PER_TURN

    for case in cases:
        case.host.turns = shared
        case.host.handler = take
        case.receive(*[text(f"4{n}") for n in range(turns.PACKETS_PER_TURN)])
    for done in range(1, 5):
        assert [len(case.host.handled) for case in cases] == [32] * done + [0] * (4 - done)
        await asyncio.sleep(0)


async def test_what_waits_for_a_turn_is_not_read_while_the_client_is_held_up(case: Case) -> None:
    case.receive(*[text(f"4{n}") for n in range(turns.PACKETS_PER_TURN + 10)])
    case.transport.pause_reading()
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(case.host.handled) == turns.PACKETS_PER_TURN
    assert len(case.host.turns) == 0
    assert not case.wire.reading
    case.transport.resume_reading()
    await eventually(lambda: len(case.host.handled) == turns.PACKETS_PER_TURN + 10)
    await eventually(lambda: case.wire.reading)


async def test_who_is_held_up_while_it_is_read_keeps_the_rest_for_later(case: Case) -> None:
    def take(data: str | bytes) -> None:
        if data == "2":
            case.transport.pause_reading()

    case.host.handler = take
    case.receive(*[text(f"4{n}") for n in range(6)])
    assert case.host.handled == ["0", "1", "2"]
    case.transport.resume_reading()
    await eventually(lambda: case.host.handled == ["0", "1", "2", "3", "4", "5"])


async def test_who_ends_while_it_waits_for_a_turn_is_forgotten(case: Case) -> None:
    case.receive(*[text(f"4{n}") for n in range(2 * turns.PACKETS_PER_TURN)])
    case.transport.connection_lost(None)
    await asyncio.sleep(0)
    assert len(case.host.handled) == turns.PACKETS_PER_TURN
    assert len(case.host.turns) == 0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (encode_frame(TEXT, b"4unmasked"), 1002),
        (of(Opcode.CONT, b"x"), 1002),
        (bytes((0xC1, 0x80, 0, 0, 0, 0)), 1002),
        (bytes((0x83, 0x80, 0, 0, 0, 0)), 1002),
        (of(Opcode.BINARY, b"x" * 1001), 1009),
        (of(Opcode.TEXT, b"4\xff\xfe"), 1007),
        (of(Opcode.TEXT, b"4\xff", fin=False) + of(Opcode.CONT, b"x"), 1007),
        (of(Opcode.TEXT, b"4\xed\xa0\x80"), 1007),
        (text("x"), 1000),
        (text(""), 1000),
    ],
)
async def test_what_breaks_the_rules_ends_the_connection_with_a_code(data: bytes, code: int) -> None:
    case = Case(max_size=1000)
    case.receive(text("4before"), data, text("4after"))
    assert case.host.handled == ["before"]
    assert case.reasons == [TRANSPORT_ERROR]
    assert case.wire.written == encode_frame(CLOSE, code.to_bytes(2, "big"))
    assert case.wire.half_closed, "the server is the first to close"
    assert case.host.notes.told == [("malformed",)]


async def test_what_follows_a_message_that_is_too_large_is_not_kept() -> None:
    """Else a client fills the memory of the server until it is dropped."""
    case = Case(max_size=1000)
    size = 50_000_000
    case.receive(bytes((0x82, 0xFF)) + size.to_bytes(8, "big") + b"\0\0\0\0")
    for _ in range(100):
        case.receive(b"x" * 10_000)
    assert case.wire.written == close_frame(1009)
    assert case.host.notes.told == [("malformed",)], "once"
    reader = case.transport._reader
    assert reader is None or len(reader._buffer) < 20_000


async def test_empty_fragments_are_not_kept() -> None:
    """Else a client fills the memory of the server with a message that never grows."""
    case = Case(max_size=1000)
    case.receive(text("4", fin=False))
    one = of(Opcode.CONT, b"", fin=False)
    for _ in range(10):
        case.receive(one * 1000)
    reader = case.transport._reader
    assert reader is None or len(reader._fragments) < 2000
    case.receive(of(Opcode.CONT, b"end"))
    assert case.host.handled in (["end"], [])


async def test_paused_reading_pauses_the_socket(case: Case) -> None:
    case.transport.pause_reading()
    paused = case.wire.reading
    case.transport.resume_reading()
    resumed = case.wire.reading
    case.wire.close()
    case.transport.pause_reading()  # of what is closed nothing is asked
    assert (paused, resumed, case.wire.reading) == (False, True, True)

"""The upgrade from polling to WebSocket."""

from __future__ import annotations

import pytest

from kit.waiting import eventually
from tradecast.engine.connection import TRANSPORT_CLOSE, Connection
from tradecast.engine.message import Message
from tradecast.engine.packets import Malformed
from tradecast.engine.transports.base import Receiver
from tradecast.engine.transports.polling import PollingTransport
from tradecast.engine.transports.upgrade import Upgrade
from unit.engine.hosts import FakeHost, FakeTransport, Gate
from unit.engine.transports.test_polling import polling


class Probing(FakeTransport):
    """A WebSocket that may take over."""

    receiver: Receiver | None = None

    def take(self, packet: str | bytes) -> None:
        """What the client sends over it."""
        assert self.receiver is not None
        self.receiver.receive(packet)


class Case:
    """A client that polls, and its WebSocket."""

    def __init__(self, timeout: float = 20) -> None:
        self.host = FakeHost()
        self.polling: PollingTransport = polling(self.host)
        assert self.polling.connection is not None
        self.connection: Connection = self.polling.connection
        self.websocket = Probing()
        self.upgrade = Upgrade(timeout, self.connection, self.polling, self.websocket)

    def carrier(self) -> object:
        """What carries the connection now."""
        return self.connection.transport


@pytest.fixture
async def case() -> Case:
    return Case()


async def test_probe_answer_switch(case: Case) -> None:
    case.websocket.take("2probe")
    assert case.websocket.sent == ["3probe"]
    assert case.carrier() is case.polling
    case.websocket.take("5")
    assert case.carrier() is case.websocket
    assert case.connection.transport_name == "websocket"
    case.websocket.take("4hello")
    assert case.host.handled == ["hello"]
    case.connection.deliver(Message(["x"]))
    assert case.websocket.sent == ["3probe", "4x"]


async def test_nothing_goes_by_websocket_before_the_switch_and_what_waits_goes_first_then(case: Case) -> None:
    case.connection.deliver(Message(["a"]))
    case.websocket.take("2probe")
    case.connection.deliver(Message(["b"]))
    assert case.websocket.sent == ["3probe"]
    assert case.polling.poll().result() == b"4a\x1e4b"
    case.connection.deliver(Message(["c"]))
    case.connection.deliver(Message(["d", b"\x00"]))
    case.websocket.take("5")
    case.connection.deliver(Message(["e"]))
    assert case.websocket.sent == ["3probe", "4c", "4d", b"\x00", "4e"]


async def test_poll_that_waits_is_let_go_by_the_switch(case: Case) -> None:
    case.websocket.take("2probe")
    case.polling.cancel_upgrade()
    answer = case.polling.poll()
    case.websocket.take("5")
    assert answer.result() == b"6"


@pytest.mark.parametrize("packet", ["5", "2", "3probe", "4x", "1", "", b"\x00", "2PROBE", "2probe "])
async def test_anything_but_the_probe_is_malformed(case: Case, packet: str | bytes) -> None:
    with pytest.raises(Malformed):
        case.websocket.take(packet)
    assert case.carrier() is case.polling


@pytest.mark.parametrize("packet", ["2probe", "2", "4x", "6", b"5"])
async def test_anything_but_the_switch_behind_it_is_malformed(case: Case, packet: str | bytes) -> None:
    case.websocket.take("2probe")
    with pytest.raises(Malformed):
        case.websocket.take(packet)
    assert case.carrier() is case.polling


async def test_websocket_that_is_lost_leaves_the_client_polling(case: Case) -> None:
    case.websocket.take("2probe")
    case.upgrade.lost(TRANSPORT_CLOSE)
    assert not case.connection.closed
    assert not case.polling.poll().done(), "polls wait again"


async def test_upgrade_that_takes_too_long_is_given_up() -> None:
    case = Case(timeout=0.05)
    case.websocket.take("2probe")
    await eventually(lambda: case.websocket.closed == 1000)
    assert not case.connection.closed
    assert not case.polling.poll().done()


async def test_connection_that_ended_meanwhile_is_not_switched(case: Case) -> None:
    case.websocket.take("2probe")
    case.connection.end("server disconnect")
    case.websocket.take("5")
    assert case.websocket.closed == 1000
    assert case.carrier() is case.polling


async def test_second_websocket_is_closed_once_the_first_has_it(case: Case) -> None:
    second = Probing()
    Upgrade(20, case.connection, case.polling, second)
    case.websocket.take("2probe")
    second.take("2probe")
    case.websocket.take("5")
    second.take("5")
    assert case.carrier() is case.websocket
    assert (case.websocket.closed, second.closed) == (None, 1000)


async def test_second_websocket_that_is_lost_does_not_hold_the_polls_of_the_first(case: Case) -> None:
    second = Probing()
    other = Upgrade(20, case.connection, case.polling, second)
    case.websocket.take("2probe")
    other.lost(TRANSPORT_CLOSE)
    assert case.polling.poll().done(), "the client waits for this answer before it switches"


async def test_handlers_that_wait_keep_the_order_over_the_switch(case: Case) -> None:
    gate = Gate()
    case.host.handler = gate.handle
    case.connection.receive("4posted")
    case.websocket.take("2probe")
    case.websocket.take("5")
    case.websocket.take("4sent")
    await eventually(lambda: gate.running == ["posted"])
    gate.open(2)
    await eventually(lambda: gate.done == ["posted", "sent"])

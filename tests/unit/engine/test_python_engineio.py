"""python-engineio's methods over the engine's own."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from tradecast.engine.server import EngineServer
from unit.engine.hosts import FakeTransport
from unit.engine.http.test_request import request


class Case:
    """An engine with two clients."""

    def __init__(self) -> None:
        self.engine = EngineServer()
        self.transports = [FakeTransport(), FakeTransport()]
        self.sids = [self.engine.open(request(), transport).sid for transport in self.transports]
        for transport in self.transports:
            transport.sent.clear()


@pytest.fixture
async def case() -> Case:
    return Case()


async def test_messages_go_to_one_client(case: Case) -> None:
    await case.engine.send(case.sids[0], "a")
    await case.engine.send_packet(case.sids[0], SimpleNamespace(data=b"b"))
    await case.engine.send("nobody", "c")
    assert [transport.sent for transport in case.transports] == [["4a", b"b"], []]


async def test_one_is_disconnected_or_all_are(case: Case) -> None:
    await case.engine.disconnect(case.sids[0])
    assert [transport.gone for transport in case.transports] == [True, False]
    await case.engine.disconnect()
    assert [transport.gone for transport in case.transports] == [True, True]


async def test_what_is_kept_with_a_connection_goes_with_it(case: Case) -> None:
    first, second = case.sids
    await case.engine.save_session(first, {"a": 1})
    assert (await case.engine.get_session(first), await case.engine.get_session(second)) == ({"a": 1}, {})
    assert case.engine.transport(first) == "websocket"
    await case.engine.disconnect(first)
    for gone in (case.engine.get_session(first), case.engine.save_session(first, {})):
        with pytest.raises(KeyError):
            await gone
    with pytest.raises(KeyError):
        case.engine.transport(first)


async def test_background_tasks_get_their_arguments(case: Case) -> None:
    done = asyncio.Event()

    async def work(*arguments: int) -> int:
        await case.engine.sleep()
        done.set()
        return sum(arguments)

    assert await case.engine.start_background_task(work, 1, 2) == 3
    assert done.is_set()
    assert len({case.engine.generate_id() for _ in range(10)}) == 10

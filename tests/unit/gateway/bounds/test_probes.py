"""Heartbeats out of turn, and who answers them."""

from __future__ import annotations

import asyncio

import pytest

from tradecast.engine.connection import Connection
from tradecast.gateway.bounds.probes import Probes
from unit.engine.hosts import FakeHost, FakeTransport

SOON, LONG = 0.05, 20.0


class Case:
    """Connections `a` and `b`."""

    def __init__(self) -> None:
        host = FakeHost()
        self.sockets = {sid: Connection(host, sid, FakeTransport()) for sid in ("a", "b")}
        self.probes = Probes(self.sockets)

    def ask(self, *sids: str, patience: float = SOON) -> asyncio.Task[list[str]]:
        return asyncio.create_task(self.probes.find_silent(sids, patience))


@pytest.fixture
async def case() -> Case:
    return Case()


async def test_who_does_not_answer_is_silent(case: Case) -> None:
    asking = case.ask("a", "b", "nobody")
    await asyncio.sleep(0)
    case.probes.answered("a")
    assert await asking == ["b"]


async def test_all_who_answer_end_the_wait(case: Case) -> None:
    asking = case.ask("a", "b", patience=LONG)
    await asyncio.sleep(0)
    for sid in ("a", "b", "a"):
        case.probes.answered(sid)
    assert await asyncio.wait_for(asking, 10) == []


async def test_one_answer_is_for_all_who_ask(case: Case) -> None:
    asking = [case.ask("a", patience=LONG) for _ in range(2)]
    await asyncio.sleep(0)
    case.probes.answered("a")
    assert await asyncio.wait_for(asyncio.gather(*asking), 10) == [[], []]
    assert await case.ask("a") == ["a"], "an answer of before counts for nothing"


async def test_one_that_has_gone_is_not_silent(case: Case) -> None:
    case.sockets["b"].lost("transport close")
    asking = case.ask("a", "b")
    await asyncio.sleep(0)
    del case.sockets["a"]
    assert await asking == []

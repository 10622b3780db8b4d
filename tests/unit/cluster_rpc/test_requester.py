"""Requests to all servers and their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kit.clock import leap
from kit.waiting import eventually
from tradecast.cluster_rpc import requester as module
from tradecast.cluster_rpc.errors import TooLarge
from tradecast.cluster_rpc.protocol import Request, Response, decode_message
from tradecast.cluster_rpc.requester import Answers, Requester
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain

LONG = 30.0


class FakePeers:
    """Others who answer when the test says so."""

    def __init__(self, *others: str, max_pending: int = 10) -> None:
        self.others = set(others)
        self.told: list[Request] = []
        self.away: Exception | None = None
        self.hangs = False
        self.requests = Requester("me", self, self, max_pending)

    async def send_to_all(self, data: bytes) -> None:
        if self.away is not None:
            raise self.away
        if self.hangs:
            await asyncio.Event().wait()
        message = decode_message(data)
        assert isinstance(message, Request)
        self.told.append(message)

    async def asked(self, within: float = LONG, here: Any = None) -> asyncio.Task[Answers]:
        """A request that is under way."""
        before = len(self.told)
        task = asyncio.create_task(self.requests.ask("kind", {"b": 1}, within, here))
        await eventually(lambda: len(self.told) > before or task.done())
        return task

    def answer(self, server: str, *items: Any, **more: Any) -> None:
        self.requests.on_response(Response(server, self.told[-1].number, list(items), **more))


class Own:
    """This server's own part."""

    def __init__(self, items: list[Any], error: str, after: Callable[[], Awaitable[object]] | None) -> None:
        self._items = items
        self._error = error
        self._after = after

    async def answer_own(self, kind: str, body: Any) -> Response:
        if self._after is not None:
            await self._after()
        return Response("me", 0, self._items, error=self._error)


def own(*items: Any, error: str = "", after: Callable[[], Awaitable[object]] | None = None) -> Own:
    return Own(list(items), error, after)


async def test_all_have_answered() -> None:
    fleet = FakePeers("a", "b")
    asked = await fleet.asked(here=own("mine"))
    assert (fleet.told[0].kind, fleet.told[0].body, fleet.told[0].answer) == ("kind", {"b": 1}, True)
    fleet.answer("a", 1, 2)
    await asyncio.sleep(0)
    assert not asked.done()
    fleet.answer("b")
    answers = await asked
    assert answers.items == {"me": ["mine"], "a": [1, 2], "b": []}
    assert answers.complete
    assert len(fleet.requests) == 0


async def test_a_server_alone_answers_itself() -> None:
    assert (await FakePeers().requests.ask("kind", None, LONG, own(1))).items == {"me": [1]}
    assert (await FakePeers().requests.ask("kind", None, LONG)).items == {}


async def test_a_server_that_nobody_knew_yet_counts() -> None:
    fleet = FakePeers("a")
    asked = await fleet.asked()
    fleet.answer("new", 5)
    fleet.answer("a", 1)
    assert (await asked).items == {"a": [1], "new": [5]}


async def test_parts_come_in_any_order_and_twice() -> None:
    fleet = FakePeers("a")
    asked = await fleet.asked()
    for part in (2, 0, 0, 2, 1, 1):
        fleet.answer("a", f"part {part}", part=part, parts=3)
    fleet.answer("a", "once more")
    assert (await asked).items == {"a": ["part 0", "part 1", "part 2"]}


async def test_what_is_missing_when_time_has_passed() -> None:
    fleet = FakePeers("a", "b", "c")
    asked = await fleet.asked(LONG)
    fleet.answer("a", 1)
    fleet.answer("b", 1, part=0, parts=2)
    leap(LONG)
    answers = await asked
    assert (answers.items, answers.missing, answers.gone) == ({"a": [1]}, frozenset("bc"), frozenset())
    assert not answers.complete
    fleet.answer("c", 1)  # too late: nobody is there any more


async def test_own_part_that_takes_too_long_continues() -> None:
    fleet, done, go = FakePeers(), asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        await go.wait()
        done.set()

    answers = await fleet.requests.ask("kind", None, 0.05, own(after=slowly))
    assert answers.missing == {"me"}
    go.set()
    await done.wait()
    await fleet.requests.close()


async def test_a_server_that_dies_is_not_waited_for() -> None:
    fleet = FakePeers("a", "b")
    asked = await fleet.asked()
    fleet.answer("a", 1)
    fleet.requests.on_servers_gone(["b", "unknown"])
    answers = await asked
    assert (answers.items, answers.missing, answers.gone) == ({"a": [1]}, frozenset(), frozenset("b"))
    assert not answers.complete


async def test_a_server_that_leaves_in_order_is_no_loss() -> None:
    fleet = FakePeers("a", "b")
    asked = await fleet.asked()
    fleet.answer("a", 1)
    fleet.requests.on_servers_gone(["b"], orderly=True)
    assert (await asked).complete


async def test_one_that_was_only_slow_is_not_gone() -> None:
    fleet = FakePeers("a", "b")
    asked = await fleet.asked()
    fleet.requests.on_servers_gone(["b"])
    fleet.answer("b", 2)
    fleet.answer("a", 1)
    answers = await asked
    assert (answers.items, answers.gone) == ({"a": [1], "b": [2]}, frozenset())


async def test_what_failed_and_why() -> None:
    fleet = FakePeers("a", "b")
    asked = await fleet.asked(here=own(error="no"))
    fleet.answer("a", error="it failed")
    fleet.answer("b", 3, error="not wholly")
    answers = await asked
    assert answers.failed == {"me": "no", "a": "it failed", "b": "not wholly"}
    assert answers.items["b"] == [3]
    assert not answers.complete


async def test_redis_is_away_and_nothing_is_done_here() -> None:
    fleet, done = FakePeers("a"), []

    async def note() -> None:
        done.append(1)

    here = own(after=note)
    fleet.away = AdapterUnavailable("away")
    with pytest.raises(AdapterUnavailable):
        await fleet.requests.ask("kind", None, LONG, here)
    fleet.away, fleet.hangs = None, True
    with pytest.raises(PublishUncertain):
        await fleet.requests.ask("kind", None, 0.05, here)
    assert done == []
    assert len(fleet.requests) == 0


async def test_there_are_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = FakePeers("a", max_pending=2)
    with pytest.raises(TooLarge):
        await fleet.requests.ask("kind", "x" * module.MAX_REQUEST, LONG)
    with pytest.raises(TooLarge):
        await fleet.requests.send("kind", "x" * module.MAX_REQUEST)
    assert fleet.told == []
    waiting = [await fleet.asked() for _ in range(2)]
    with pytest.raises(AdapterUnavailable, match="too many"):
        await fleet.requests.ask("kind", None, LONG)
    monkeypatch.setattr(module, "MAX_ITEMS", 3)
    fleet.answer("a", 1, 2, part=0, parts=3)
    fleet.answer("a", 3, 4, part=1, parts=3)
    answers = await waiting[1]
    assert (answers.items, answers.failed) == ({}, {"a": module.TOO_MANY})
    fleet.requests.on_servers_gone(["a"])
    await waiting[0]


async def test_what_needs_no_answer_waits_for_nobody() -> None:
    fleet = FakePeers("a")
    await fleet.requests.send("kind", 1)
    assert (fleet.told[0].body, fleet.told[0].answer) == (1, False)
    assert len(fleet.requests) == 0


async def test_a_caller_that_gives_up_leaves_nothing_behind() -> None:
    fleet = FakePeers("a")
    asked = await fleet.asked()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert len(fleet.requests) == 0

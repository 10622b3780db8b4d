"""Requests of other servers, carried out here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kit.waiting import eventually
from tradecast.cluster_rpc import responder as module
from tradecast.cluster_rpc.protocol import Request, Response, decode_message
from tradecast.cluster_rpc.responder import Outcome, Responder, UnknownKind
from tradecast.delivery.envelope import Malformed
from tradecast.delivery.errors import AdapterUnavailable


class RespondingServer:
    """A server with a few operations, and what it answers."""

    def __init__(self, max_running: int = 10) -> None:
        self.answers: list[tuple[str, Response]] = []
        self.done: list[Any] = []
        self.go = asyncio.Event()
        self.serving = Responder("me", self, self, max_running)

    async def run(self, kind: str, body: Any) -> Outcome:
        known = {"note": self.note, "wait": self.wait, "raise": self.fail, "big": self.big}
        if kind not in known:
            raise UnknownKind(kind)
        return await known[kind](body)

    async def send_to_server(self, server: str, data: bytes) -> None:
        message = decode_message(data)
        assert isinstance(message, Response)
        self.answers.append((server, message))

    async def note(self, body: Any) -> Outcome:
        self.done.append(body)
        return Outcome([body], "not wholly" if body == "half" else "")

    async def wait(self, body: Any) -> Outcome:
        await self.go.wait()
        return Outcome()

    async def fail(self, body: Any) -> Outcome:
        raise {"malformed": Malformed("x"), "away": AdapterUnavailable("x"), "bug": KeyError("secret")}[body]

    async def big(self, body: Any) -> Outcome:
        return Outcome(["x" * body["size"]] * body["count"])

    async def ask(self, kind: str, body: Any = None, number: int = 1, **more: Any) -> None:
        before = len(self.answers)
        self.serving.on_request(Request("asker", number, kind, body, **more))
        await eventually(lambda: len(self.answers) > before)


async def test_it_is_done_once_and_answered() -> None:
    desk = RespondingServer()
    await desk.ask("note", {"x": 1})
    desk.serving.on_request(Request("asker", 1, "note", {"x": 1}))  # Redis repeated it
    desk.serving.on_request(Request("another", 1, "note", 2))
    await eventually(lambda: len(desk.answers) == 2)
    assert desk.done == [{"x": 1}, 2]
    assert desk.answers == [("asker", Response("me", 1, [{"x": 1}])), ("another", Response("me", 1, [2]))]


async def test_who_waits_for_no_answer_gets_none() -> None:
    desk = RespondingServer()
    desk.serving.on_request(Request("asker", 1, "note", 1, answer=False))
    await desk.ask("note", 2, 2)
    assert [response.number for _, response in desk.answers] == [2]
    assert desk.done == [1, 2]


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [
        ("of the next version", None, "does not know"),
        ("raise", "malformed", "does not understand"),
        ("raise", "away", "Redis"),
        ("raise", "bug", "it failed"),
        ("note", "half", "not wholly"),
    ],
)
async def test_what_cannot_be_done_is_reported(kind: str, body: Any, error: str) -> None:
    desk = RespondingServer()
    await desk.ask(kind, body)
    (_, response) = desk.answers[0]
    assert error in response.error
    assert "secret" not in response.error
    assert error in (await desk.serving.answer_own(kind, body)).error


async def test_a_large_answer_comes_in_parts() -> None:
    desk = RespondingServer()
    await desk.ask("big", {"size": 100_000, "count": 7})
    await eventually(lambda: len(desk.answers) == desk.answers[0][1].parts)
    parts = [response for _, response in desk.answers]
    assert [part.part for part in parts] == list(range(4))
    assert sum(len(part.items) for part in parts) == 7
    here = await desk.serving.answer_own("big", {"size": 100_000, "count": 7})
    assert (len(here.items), here.parts) == (7, 1)


@pytest.mark.parametrize(("size", "count"), [(1_000_000, 65), (1, 200_001)])
async def test_one_that_is_too_large_is_refused(size: int, count: int) -> None:
    desk = RespondingServer()
    await desk.ask("big", {"size": size, "count": count})
    assert [(response.items, response.error) for _, response in desk.answers] == [([], "the answer is too large")]


async def test_too_much_at_once_is_refused() -> None:
    desk = RespondingServer(max_running=2)
    for number in range(2):
        desk.serving.on_request(Request("asker", number, "wait", None))
    await desk.ask("note", 1, 2)
    desk.serving.on_request(Request("asker", 3, "note", 1, answer=False))
    assert "too much" in desk.answers[0][1].error
    assert desk.done == []
    desk.go.set()
    await eventually(lambda: len(desk.answers) == 3)
    await desk.ask("note", 4, 4)
    assert desk.done == [4]


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SEEN", 3)
    desk = RespondingServer()
    for number in range(10):
        await desk.ask("note", number, number)
    assert len(desk.serving._seen) == 3


async def test_closing_ends_what_is_under_way() -> None:
    desk = RespondingServer()
    desk.serving.on_request(Request("asker", 1, "wait", None))
    await asyncio.sleep(0)
    await desk.serving.close()
    assert desk.answers == []

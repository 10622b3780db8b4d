"""The gate before the Engine.IO handshake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, cast

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from kit.clock import leap
from kit.waiting import eventually
from tradecast.engine.http.addresses import Network
from tradecast.engine.http.request import Request
from tradecast.engine.server import EngineServer
from tradecast.lifecycle.admission import Admission
from tradecast.lifecycle.handshake_gate import RETRY_AFTER_SECONDS, HandshakeGate
from tradecast.lifecycle.rollout import Rollout
from unit.engine.http.test_request import request


class OneAddress:
    """Everybody comes from the same one. Attributes: held: handshakes that wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    def find_network(self, request: Request) -> Network | None:
        return Network(4, 1) if self._most else None

    def has_room_for(self, network: Network) -> bool:
        return self.held < self._most

    def add_waiting(self, network: Network) -> None:
        self.held += 1

    def remove_waiting(self, network: Network) -> None:
        self.held -= 1


class Door:
    """A gate, and what happened at it."""

    def __init__(
        self,
        admission: Admission | None = None,
        *,
        full: bool = False,
        draining: bool = False,
        superseded: bool = False,
        most_per_address: int = 0,
    ) -> None:
        self.addresses = OneAddress(most_per_address)
        self.full = full
        self.asked = 0
        self.codes: list[str] = []
        self.passed = 0
        self.gone = asyncio.Event()
        self.gate = HandshakeGate(
            self._app,
            self,
            self,
            admission=admission,
            rollout=Rollout(superseded),
            check=EngineServer(cors_allowed_origins=["https://ours.example"]),
            addresses=self.addresses,
        )
        if draining:
            self.gate.stop_accepting()

    def is_full(self) -> bool:
        """As of `Capacity`."""
        self.asked += 1
        return self.full

    def refused(self, code: str) -> None:
        """As of `RefusalObserver`."""
        self.codes.append(code)

    async def knock(self, query: bytes = b"EIO=4&transport=polling", **scope: Any) -> list[dict[str, Any]]:
        """What a request is answered by the gate itself; nothing if it passed."""
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(dict(message))

        async def receive() -> Any:
            await self.gone.wait()
            return {"type": "http.disconnect"}

        request = {"type": "http", "method": "GET", "path": "/socket.io/", "query_string": query, "headers": []}
        request |= {"scheme": "http", **scope}
        if request["type"] == "websocket":
            request["query_string"] = query.replace(b"polling", b"websocket")
            request["headers"] = [
                *request["headers"],
                (b"sec-websocket-version", b"13"),
                (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            ]
        await self.gate(request, receive, send)
        return sent

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.passed += 1


def answer(sent: list[dict[str, Any]]) -> tuple[str, int, dict[bytes, bytes], Any]:
    start, body = sent
    assert body["type"] == start["type"].replace("start", "body")
    assert not body.get("more_body")
    return start["type"].removesuffix(".start"), start["status"], dict(start["headers"]), orjson.loads(body["body"])


async def test_open_door_lets_everybody_pass() -> None:
    door = Door()
    assert await door.knock() == []
    assert await door.knock(type="websocket") == []
    assert door.passed == 2
    assert door.codes == []


@pytest.mark.parametrize(
    ("closed", "code"),
    [
        ({"full": True}, "SERVER_BUSY"),
        ({"draining": True}, "SERVER_DRAINING"),
        ({"superseded": True}, "SERVER_SUPERSEDED"),
        ({"full": True, "draining": True, "superseded": True}, "SERVER_DRAINING"),
        ({"full": True, "superseded": True}, "SERVER_SUPERSEDED"),
    ],
)
@pytest.mark.parametrize(("kind", "expected"), [("http", "http.response"), ("websocket", "websocket.http.response")])
async def test_closed_door_says_when_to_come_back(closed: dict[str, Any], code: str, kind: str, expected: str) -> None:
    door = Door(**closed)
    told_by, status, headers, body = answer(await door.knock(type=kind))
    assert (told_by, status, body["code"]) == (expected, 503, code)
    assert set(body) == {"code", "message"}
    assert headers[b"retry-after"] == str(RETRY_AFTER_SECONDS).encode()
    assert headers[b"content-type"] == b"application/json"
    assert door.codes == [code]
    assert door.passed == 0


@pytest.mark.parametrize("closed", [{"full": True}, {"draining": True}, {"superseded": True}])
async def test_who_is_in_is_served(closed: dict[str, Any]) -> None:
    door = Door(**closed)
    await door.knock(b"EIO=4&transport=polling&sid=abc")
    await door.knock(b"sid=abc&EIO=4&transport=websocket", type="websocket")
    await door.knock(b"EIO=4&transport=polling&sid=abc", method="POST")
    assert door.passed == 3
    assert door.codes == []


@pytest.mark.parametrize("more", [b"", b"&sid=", b"&sid", b"&xsid=1", b"&x=sid=1", b"&\xff\xfe"])
async def test_what_has_no_sid_is_a_handshake(more: bytes) -> None:
    door = Door(full=True)
    assert answer(await door.knock(b"EIO=4&transport=polling" + more))[1] == 503


NO_HANDSHAKES: dict[str, dict[str, Any]] = {
    "another version": {"query": b"EIO=3&transport=polling"},
    "no version": {"query": b"transport=polling"},
    "another transport": {"query": b"EIO=4&transport=webtransport"},
    "no transport": {"query": b"EIO=4"},
    "nothing": {"query": b""},
    "POST": {"method": "POST"},
    "HEAD": {"method": "HEAD"},
    "another origin": {"headers": [(b"origin", b"https://theirs.example"), (b"host", b"ours.example")]},
    "WebSocket of another version": {"type": "websocket", "headers": [(b"sec-websocket-version", b"8")]},
    "WebSocket of another origin": {"type": "websocket", "headers": [(b"origin", b"https://theirs.example")]},
}


@pytest.mark.parametrize("which", NO_HANDSHAKES)
async def test_what_cannot_become_a_connection_takes_nobodys_place(which: str) -> None:
    door = Door(Admission(0.001, 1, 0))
    for _ in range(5):
        assert await door.knock(**NO_HANDSHAKES[which]) == []
    assert await door.knock() == []
    assert answer(await door.knock())[1] == 503
    assert (door.passed, door.codes) == (6, ["SERVER_BUSY"])


async def test_who_is_gone_while_it_waits_gives_its_place_back() -> None:
    admission = Admission(0.01, 1, 250)
    door = Door(admission)
    assert await door.knock() == []
    waiting = [asyncio.create_task(door.knock()) for _ in range(2)]
    await eventually(lambda: door.gate.waiting == 2)
    assert answer(await door.knock())[1] == 503
    door.gone.set()
    assert await asyncio.gather(*waiting) == [[], []]
    assert (door.gate.waiting, door.passed) == (0, 1)
    now = time.monotonic()
    assert [admission.reserve(now) is None for _ in range(3)] == [False, False, True]


async def test_who_is_cancelled_while_it_waits_gives_its_place_back() -> None:
    admission = Admission(0.01, 1, 150)
    gate = Door(admission).gate
    assert gate.admit(handshake()) is None
    waiting = asyncio.ensure_future(cast(Awaitable[Any], gate.admit(handshake())))
    await asyncio.sleep(0)
    assert gate.waiting == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert gate.waiting == 0
    assert admission.reserve(time.monotonic()) is not None


def handshake() -> Request:
    return Request.of_scope(
        {
            "type": "http",
            "method": "GET",
            "path": "/socket.io/",
            "query_string": b"EIO=4&transport=polling",
            "headers": [],
            "scheme": "http",
        }
    )


async def test_preflight_passes() -> None:
    """Refused, a browser would not show its application the 503 behind it."""
    door = Door(full=True)
    await door.knock(method="OPTIONS")
    assert door.passed == 1


async def test_door_opens_again() -> None:
    door = Door(full=True)
    assert await door.knock()
    door.full = False
    assert await door.knock() == []
    assert door.passed == 1


async def test_handshakes_of_an_address_that_wait_are_counted_until_they_wait_no_more() -> None:
    door = Door(Admission(rate=0.01, burst=1, longest_wait=1000), most_per_address=2)
    assert await door.knock() == []
    waiting = [asyncio.ensure_future(door.knock()) for _ in range(2)]
    await eventually(lambda: door.addresses.held == 2)
    kind, status, headers, body = answer(await door.knock())
    assert (kind, status, body["code"]) == ("http.response", 503, "ADDRESS_BUSY")
    assert headers[b"retry-after"] == b"%d" % RETRY_AFTER_SECONDS
    assert door.codes == ["ADDRESS_BUSY"]
    leap(200)
    assert await asyncio.gather(*waiting) == [[], []]
    assert door.addresses.held == 0
    passing = asyncio.ensure_future(door.knock())
    await eventually(lambda: door.addresses.held == 1)
    leap(300)
    assert await passing == []


async def test_who_goes_while_it_waits_is_counted_no_more() -> None:
    door = Door(Admission(rate=0.1, burst=1, longest_wait=15), most_per_address=2)
    assert await door.knock() == []
    waiting = asyncio.ensure_future(door.knock())
    await eventually(lambda: door.addresses.held == 1)
    door.gone.set()
    await waiting
    assert door.addresses.held == 0


async def test_a_full_address_costs_nobody_elses_place() -> None:
    door = Door(most_per_address=1)
    door.addresses.held = 1
    refusal = door.gate.admit(request(b"EIO=4&transport=polling"))
    assert not isinstance(refusal, Awaitable)
    assert refusal is not None
    assert refusal.status == 503
    assert door.asked == 0, "no room is made for who is not let in"

"""The door before the Engine.IO handshake."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from tradecast.lifecycle.gate import RETRY_AFTER_SECONDS, Gate


class Door:
    """A gate, and what happened at it."""

    def __init__(self, *, full: bool = False, draining: bool = False, superseded: bool = False) -> None:
        self.full = full
        self.superseded = superseded
        self.refused: list[str] = []
        self.passed = 0
        self.gate = Gate(self._app, lambda: self.full, self.refused.append, is_superseded=lambda: self.superseded)
        self.gate.draining = draining

    async def knock(self, query: bytes = b"EIO=4&transport=polling", **scope: Any) -> list[dict[str, Any]]:
        """What a request is answered by the gate itself; nothing if it passed."""
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(dict(message))

        async def receive() -> Any:
            raise AssertionError("the gate reads nothing")

        request = {"type": "http", "method": "GET", "path": "/socket.io/", "query_string": query, **scope}
        request |= {"scheme": "http", "headers": []}
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
    assert door.refused == []


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
async def test_closed_door_says_when_to_come_back(closed: dict[str, bool], code: str, kind: str, expected: str) -> None:
    door = Door(**closed)
    told_by, status, headers, body = answer(await door.knock(type=kind))
    assert (told_by, status, body["code"]) == (expected, 503, code)
    assert set(body) == {"code", "message"}
    assert headers[b"retry-after"] == str(RETRY_AFTER_SECONDS).encode()
    assert headers[b"content-type"] == b"application/json"
    assert door.refused == [code]
    assert door.passed == 0


@pytest.mark.parametrize("closed", [{"full": True}, {"draining": True}, {"superseded": True}])
async def test_who_is_in_is_served(closed: dict[str, bool]) -> None:
    door = Door(**closed)
    await door.knock(b"EIO=4&transport=polling&sid=abc")
    await door.knock(b"sid=abc&EIO=4&transport=websocket", type="websocket")
    await door.knock(b"EIO=4&transport=polling&sid=abc", method="POST")
    assert door.passed == 3
    assert door.refused == []


@pytest.mark.parametrize("query", [b"", b"sid=", b"sid", b"xsid=1", b"EIO=4&x=sid=1", b"\xff\xfe"])
async def test_what_has_no_sid_is_a_handshake(query: bytes) -> None:
    door = Door(full=True)
    assert answer(await door.knock(query))[1] == 503


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

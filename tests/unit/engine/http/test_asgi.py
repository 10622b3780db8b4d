"""Polling requests straight to the engine: what no network can be made to do."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from tradecast.engine.server import EngineServer


async def ask(engine: EngineServer, method: str, query: str, body: bytes = b"") -> tuple[int, bytes]:
    """One request; status and body of its answer."""
    sent: list[Any] = []
    requests = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Any:
        found = next(requests, None)
        if found is None:
            await asyncio.Event().wait()
        return found

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {"type": "http", "method": method, "path": "/", "scheme": "http", "headers": []}
    await engine.handle_request({**scope, "query_string": query.encode()}, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def test_client_whose_answer_came_while_the_loop_stood_still_continues() -> None:
    """Its poll may be served before its answer to the heartbeat, which is read a moment later."""
    engine = EngineServer(ping_interval=0.3, ping_timeout=0.2, environs=False)
    _, opened = await ask(engine, "GET", "EIO=4&transport=polling")
    query = f"EIO=4&transport=polling&sid={json.loads(opened[1:])['sid']}"
    assert await ask(engine, "GET", query) == (200, b"2")
    time.sleep(0.5)  # noqa: ASYNC251 the loop stands still: that is the test
    polled, posted = await asyncio.gather(ask(engine, "GET", query), ask(engine, "POST", query, b"3"))
    assert (polled, posted) == ((200, b"2"), (200, b"ok"))
    await engine.shutdown()


async def test_client_that_is_late_is_not_known_any_more() -> None:
    engine = EngineServer(ping_interval=0.3, ping_timeout=0.2, environs=False)
    reasons: list[str] = []
    engine.on("disconnect", lambda sid, reason: reasons.append(reason))
    _, opened = await ask(engine, "GET", "EIO=4&transport=polling")
    query = f"EIO=4&transport=polling&sid={json.loads(opened[1:])['sid']}"
    assert await ask(engine, "GET", query) == (200, b"2")
    await asyncio.sleep(0.25)  # past the time-out, which has no event
    assert (await ask(engine, "GET", query))[0] == 400
    await asyncio.sleep(0)
    assert reasons == ["ping timeout"]
    await engine.shutdown()

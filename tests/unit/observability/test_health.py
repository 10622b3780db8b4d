from __future__ import annotations

import asyncio
from typing import Any

import pymongo.errors
import pytest
import redis.exceptions
import structlog

from tradecast.auth.errors import StoreUnavailable
from tradecast.observability.health import Health, classify


class Dependency:
    """Something to check. `gate` holds the checks back."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> None:
        self.calls += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error


async def test_up_down_and_not_configured() -> None:
    health = Health()
    health.register("redis", Dependency())
    health.register("database", Dependency(redis.exceptions.ConnectionError("to 10.0.0.1")))
    status, body = await health.check("redis")
    assert (status, body["status"]) == (200, "up")
    assert body["latencyMs"] >= 0
    status, body = await health.check("database")
    assert (status, body["status"], body["error"]) == (503, "down", "not reachable")
    assert await health.check("other") == (200, {"status": "not configured"})


async def test_alive_asks_nobody() -> None:
    dependency = Dependency()
    health = Health()
    health.register("redis", dependency)
    body = health.alive()
    assert body["status"] == "up"
    assert body["uptime"] >= 0
    assert body["timestamp"].endswith("Z")
    assert dependency.calls == 0


async def test_simultaneous_requests_share_one_check() -> None:
    dependency = Dependency()
    dependency.gate.clear()
    health = Health()
    health.register("redis", dependency)
    waiting = [asyncio.create_task(health.check("redis")) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    dependency.gate.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert len({str(answer) for answer in answers[1:]}) == 1
    assert dependency.calls == 1


async def test_a_result_is_kept_for_a_while_and_no_longer() -> None:
    dependency = Dependency()
    kept = Health(keep=60)
    kept.register("redis", dependency)
    for _ in range(5):
        await kept.check("redis")
    assert dependency.calls == 1
    not_kept = Health(keep=0)
    not_kept.register("redis", dependency)
    for _ in range(5):
        await not_kept.check("redis")
    assert dependency.calls == 6


async def test_a_check_that_hangs_times_out() -> None:
    dependency = Dependency()
    dependency.gate.clear()
    health = Health(timeout=0.05)
    health.register("redis", dependency)
    status, body = await health.check("redis")
    assert (status, body["error"]) == (503, "timed out")
    assert body["latencyMs"] >= 50


async def test_changes_are_logged_once_and_every_result_is_told() -> None:
    told: list[tuple[str, bool]] = []
    dependency = Dependency()
    health = Health(keep=0, on_result=lambda name, up, seconds: told.append((name, up)))
    health.register("redis", dependency)
    with structlog.testing.capture_logs() as lines:
        for error in (None, OSError(), OSError(), None, None):
            dependency.error = error
            await health.check("redis")
    assert told == [("redis", up) for up in (True, False, False, True, True)]
    assert [line["event"] for line in lines] == ["a dependency is down", "a dependency is up again"]


async def test_checks_run_by_themselves() -> None:
    called = asyncio.Event()
    counts: dict[str, int] = {}

    def count(name: str, up: bool, seconds: float) -> None:
        counts[name] = counts.get(name, 0) + 1
        if counts.get("a", 0) >= 2 and counts.get("b", 0) >= 2:
            called.set()

    health = Health(keep=0, on_result=count)
    health.register("a", Dependency())
    health.register("b", Dependency(OSError()))
    task = asyncio.create_task(health.run(every=0.01))
    async with asyncio.timeout(30):
        await called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def wrapped(error: Exception) -> Exception:
    outer = StoreUnavailable("mongodb")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "timed out"),
        (redis.exceptions.TimeoutError("Timeout reading from 10.0.0.1:6379"), "timed out"),
        (pymongo.errors.NetworkTimeout("10.0.0.1:27017: timed out"), "timed out"),
        (pymongo.errors.ServerSelectionTimeoutError("No servers found yet"), "timed out"),
        (pymongo.errors.ServerSelectionTimeoutError("h:27017: [Errno 111] Connection refused"), "refused"),
        (ConnectionRefusedError(111, "refused"), "refused"),
        (redis.exceptions.ConnectionError("Error 111 connecting to h:1. Connect call failed"), "refused"),
        (redis.exceptions.ConnectionError("Connection closed by server."), "not reachable"),
        (redis.exceptions.AuthenticationError("WRONGPASS for ann"), "authentication failed"),
        (redis.exceptions.NoPermissionError("ann has no permissions"), "authentication failed"),
        (pymongo.errors.OperationFailure("Authentication failed for ann", 18), "authentication failed"),
        (pymongo.errors.AutoReconnect("connection closed"), "not reachable"),
        (OSError(113, "No route to host"), "not reachable"),
        (StoreUnavailable(), "not reachable"),
        (wrapped(pymongo.errors.NetworkTimeout("x")), "timed out"),
        (wrapped(ConnectionRefusedError()), "refused"),
        (redis.exceptions.ResponseError("OOM"), "answers with an error"),
        (KeyError("x"), "answers with an error"),
    ],
)
async def test_trouble_is_told_in_words_and_by_no_text_of_a_driver(error: Exception, words: str) -> None:
    assert classify(error) == words
    health = Health()
    health.register("x", Dependency(error))
    _, body = await health.check("x")
    found: dict[str, Any] = {**body}
    del found["latencyMs"]
    assert found == {"status": "down", "error": words}


def test_a_chain_that_is_a_ring_ends() -> None:
    one, two = ValueError(), KeyError()
    one.__context__, two.__cause__ = two, one
    assert classify(one) == "answers with an error"

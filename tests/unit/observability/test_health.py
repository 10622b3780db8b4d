from __future__ import annotations

import asyncio

import pymongo.errors
import pytest
import redis.exceptions
import structlog

from tradecast.causes import MONGODB, Cause, Place, explain
from tradecast.observability.health import Health


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
    assert (status, body["status"], body["cause"]) == (503, "down", "unreachable")
    assert "10.0.0.1" not in str(body)
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
    assert (status, body["cause"]) == (503, "timed_out")
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


async def test_what_is_down_is_told_in_words_with_the_address_for_those_who_may_know() -> None:
    health = Health()

    async def explained(error: BaseException) -> Cause:
        return explain(error, Place(MONGODB, "10.0.0.1:27017", "MONGODB_URI"))

    health.register("database", Dependency(pymongo.errors.OperationFailure("failed for ann", 18)), explained)
    status, body = await health.check("database")
    assert (status, body["status"], body["cause"]) == (503, "down", "password_wrong")
    assert body["error"] == "MongoDB does not accept the user or the password"
    assert "MONGODB_URI" in body["remedy"]
    assert "10.0.0.1" not in str(body)
    assert "ann" not in str(body)
    _, private = await health.check("database", addresses=True)
    assert private["error"] == "MongoDB at 10.0.0.1:27017 does not accept the user or the password"
    assert health.causes() == {"database": "password_wrong"}


async def test_another_cause_is_logged_and_each_is_counted() -> None:
    counted: list[tuple[str, str]] = []
    dependency = Dependency()
    health = Health(keep=0, on_cause=lambda name, cause: counted.append((name, cause)))
    health.register("redis", dependency)
    with structlog.testing.capture_logs() as lines:
        for error in (ConnectionRefusedError(), ConnectionRefusedError(), TimeoutError(), None, None):
            dependency.error = error
            await health.check("redis")
    assert [line.get("cause") for line in lines] == ["refused", "timed_out", None]
    assert counted == [("redis", "refused"), ("redis", "refused"), ("redis", "timed_out")]
    assert health.causes() == {}


async def test_an_explanation_that_fails_hides_nothing() -> None:
    health = Health()

    async def fail(error: BaseException) -> Cause:
        raise KeyError

    health.register("redis", Dependency(TimeoutError()), fail)
    assert (await health.check("redis"))[1]["cause"] == "timed_out"

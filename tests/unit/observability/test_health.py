from __future__ import annotations

import asyncio

import pymongo.errors
import pytest
import redis.exceptions
import structlog

from kit.waiting import eventually
from tradecast.causes import MONGODB, Cause, Place
from tradecast.observability.health import Health
from tradecast.redis_client.peer import Explainer


class Results:
    """Of checks, as of `HealthObserver`.

    Attributes:
        all: Each check's name, and whether it is up.
        causes: Of those that are down, why.
    """

    def __init__(self) -> None:
        self.all: list[tuple[str, bool]] = []
        self.causes: list[tuple[str, str]] = []

    def dependency(self, name: str, up: bool, seconds: float) -> None:
        """As of `HealthObserver`."""
        self.all.append((name, up))

    def dependency_failed(self, name: str, cause: str) -> None:
        """As of `HealthObserver`."""
        self.causes.append((name, cause))


class Dependency:
    """Something to check. `gate` holds the checks back."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def check(self) -> None:
        """As of `health.Dependency`."""
        self.calls += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error


class FailingExplainer:
    """As of `ErrorExplainer`."""

    async def explain(self, error: BaseException) -> Cause:
        """Fail, as a bug would."""
        raise KeyError


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


async def test_changes_are_logged_once_and_every_result_is_reported() -> None:
    results = Results()
    dependency = Dependency()
    health = Health(keep=0, observer=results)
    health.register("redis", dependency)
    with structlog.testing.capture_logs() as lines:
        for error in (None, OSError(), OSError(), None, None):
            dependency.error = error
            await health.check("redis")
    assert results.all == [("redis", up) for up in (True, False, False, True, True)]
    assert [line["event"] for line in lines] == ["a dependency is down", "a dependency is up again"]


async def test_checks_run_automatically() -> None:
    results = Results()
    health = Health(keep=0, observer=results)
    health.register("a", Dependency())
    health.register("b", Dependency(OSError()))
    task = asyncio.create_task(health.run(every=0.01))
    await eventually(lambda: results.all.count(("a", True)) >= 2 and results.all.count(("b", False)) >= 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_down_is_reported_in_words_with_the_address_for_those_who_may_know() -> None:
    health = Health()
    dependency = Dependency(pymongo.errors.OperationFailure("failed for ann", 18))
    health.register("database", dependency, Explainer(Place(MONGODB, "10.0.0.1:27017", "MONGODB_URI")))
    status, body = await health.check("database")
    assert (status, body["status"], body["cause"]) == (503, "down", "password_wrong")
    assert body["error"] == "MongoDB rejects the user or the password"
    assert "MONGODB_URI" in body["remedy"]
    assert "10.0.0.1" not in str(body)
    assert "ann" not in str(body)
    _, private = await health.check("database", addresses=True)
    assert private["error"] == "MongoDB at 10.0.0.1:27017 rejects the user or the password"
    assert health.causes() == {"database": "password_wrong"}


async def test_another_cause_is_logged_and_each_is_counted() -> None:
    results = Results()
    dependency = Dependency()
    health = Health(keep=0, observer=results)
    health.register("redis", dependency)
    with structlog.testing.capture_logs() as lines:
        for error in (ConnectionRefusedError(), ConnectionRefusedError(), TimeoutError(), None, None):
            dependency.error = error
            await health.check("redis")
    assert [line.get("cause") for line in lines] == ["refused", "timed_out", None]
    assert results.causes == [("redis", "refused"), ("redis", "refused"), ("redis", "timed_out")]
    assert health.causes() == {}


async def test_an_explanation_that_fails_hides_nothing() -> None:
    health = Health()
    health.register("redis", Dependency(TimeoutError()), FailingExplainer())
    assert (await health.check("redis"))[1]["cause"] == "timed_out"

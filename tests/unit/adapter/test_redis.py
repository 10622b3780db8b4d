from __future__ import annotations

from typing import Any

import pytest
from redis import exceptions
from redis.exceptions import AuthenticationError, ResponseError

from tradecast.adapter.redis import CappedLinearBackoff, RequestRetry, create_redis, parse_sentinel_url
from tradecast.settings import SettingsError, load_settings


def test_backoff_is_fifty_milliseconds_an_attempt_up_to_two_seconds() -> None:
    backoff = CappedLinearBackoff()
    assert [backoff.compute(n) for n in (1, 2, 3)] == pytest.approx([0.05, 0.1, 0.15])
    assert [backoff.compute(n) for n in (39, 40, 41, 1000)] == pytest.approx([1.95, 2, 2, 2])


class Attempts:
    """Counts its calls, each of which fails."""

    def __init__(self, error: Exception, inner: Attempts | None = None, retry: RequestRetry | None = None) -> None:
        self.error = error
        self.inner = inner
        self.retry = retry
        self.count = 0
        self.failures: list[Exception] = []

    async def do(self) -> None:
        self.count += 1
        if self.inner is not None and self.retry is not None:
            await self.retry.call_with_retry(self.inner.do, self.inner.failed)
        raise self.error

    async def failed(self, error: Exception) -> None:
        self.failures.append(error)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []

    async def sleep(seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr("redis.asyncio.retry.sleep", sleep)
    return taken


@pytest.mark.parametrize("error", [exceptions.ConnectionError("gone"), exceptions.TimeoutError("slow")])
async def test_a_request_is_repeated_three_times_with_growing_pauses(pauses: list[float], error: Exception) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        await RequestRetry(CappedLinearBackoff(), 3).call_with_retry(attempts.do, attempts.failed)
    assert attempts.count == 4
    assert pauses == pytest.approx([0.05, 0.1, 0.15])
    assert attempts.failures == [error] * 4


async def test_a_connection_inside_a_request_is_not_retried_on_its_own(pauses: list[float]) -> None:
    retry = RequestRetry(CappedLinearBackoff(), 3)
    connecting = Attempts(exceptions.ConnectionError("refused"))
    request = Attempts(exceptions.ConnectionError("gone"), connecting, retry)
    with pytest.raises(exceptions.ConnectionError):
        await retry.call_with_retry(request.do, request.failed)
    assert (request.count, connecting.count) == (4, 4)
    assert len(connecting.failures) == 4
    assert len(pauses) == 3


async def test_after_a_request_the_next_is_repeated_again(pauses: list[float]) -> None:
    retry = RequestRetry(CappedLinearBackoff(), 3)
    for _ in range(2):
        attempts = Attempts(exceptions.ConnectionError("gone"))
        with pytest.raises(exceptions.ConnectionError):
            await retry.call_with_retry(attempts.do, attempts.failed)
        assert attempts.count == 4
    assert len(pauses) == 6


@pytest.mark.parametrize("error", [AuthenticationError("no"), ResponseError("no")])
async def test_what_repeating_cannot_help_is_not_repeated(pauses: list[float], error: Exception) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        await RequestRetry(CappedLinearBackoff(), 3).call_with_retry(attempts.do, attempts.failed)
    assert attempts.count == 1
    assert pauses == []


@pytest.mark.parametrize(
    ("url", "hosts", "service", "options"),
    [
        ("redis+sentinel://h1:1,h2:2/0/mine", [("h1", 1), ("h2", 2)], "mine", {"db": 0}),
        ("redis+sentinel://h1/3/mine", [("h1", 26379)], "mine", {"db": 3}),
        ("redis+sentinel://h1,h2:2/mine", [("h1", 26379), ("h2", 2)], "mine", {"db": 0}),
        ("redis+sentinel://[::1]:5,[::2]/0/mine", [("::1", 5), ("::2", 26379)], "mine", {"db": 0}),
        (
            "rediss+sentinel://us%40er:p%2Fw@h1:1/0/mine",
            [("h1", 1)],
            "mine",
            {"db": 0, "username": "us@er", "password": "p/w"},
        ),
        ("redis+sentinel://:pw@h1:1/0/mine", [("h1", 1)], "mine", {"db": 0, "password": "pw"}),
    ],
)
def test_sentinel_urls(url: str, hosts: Any, service: str, options: Any) -> None:
    assert parse_sentinel_url(url) == (hosts, service, options)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://h1:1",
        "redis+sentinel://h1:1/0",
        "redis+sentinel://h1:1/0/",
        "redis+sentinel://h1:1/x/mine",
        "redis+sentinel://h1:1/0/mine/more",
        "redis+sentinel://:hidden@h1:no/0/mine",
        "redis+sentinel://h1:70000/0/mine",
        "redis+sentinel://h1:1,,h2:2/0/mine",
        "redis+sentinel:///0/mine",
        "redis://:hidden@h1:no/0",
        "unix://",
    ],
)
def test_an_url_that_makes_no_sense_is_told_without_its_secrets(url: str) -> None:
    settings = load_settings({"REDIS_URL": url})
    with pytest.raises(SettingsError, match=r"^REDIS_URL: ") as caught:
        create_redis(settings)
    assert "hidden" not in str(caught.value)


def test_no_url_is_told() -> None:
    with pytest.raises(SettingsError, match="REDIS_URL: is not set"):
        create_redis(load_settings({}))

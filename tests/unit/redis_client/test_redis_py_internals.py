"""Retries: of a request, and not once more of each connection that it makes."""

from __future__ import annotations

import pytest
from redis import exceptions
from redis.exceptions import AuthenticationError, ResponseError

from tradecast.redis_client.client import (
    CappedLinearBackoff,
)
from tradecast.redis_client.redis_py_internals import RequestRetry


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

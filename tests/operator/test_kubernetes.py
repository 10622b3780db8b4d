"""The operator's client where the API server does not do what it is asked; the real one is in tests/e2e."""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
import kr8s
import pytest

from tradecast_operator.kubernetes import Conflict, Kubernetes, Missing


class Api:
    """Answers each request in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def call_api(self, *_: Any, **__: Any) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
        raise self._error


def refused(code: int) -> kr8s.ServerError:
    request = httpx.Request("GET", "https://kubernetes")
    return kr8s.ServerError("no", response=httpx.Response(code, request=request))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (kr8s.APITimeoutError("late"), httpx.TimeoutException),
        (refused(404), Missing),
        (refused(409), Conflict),
        (refused(403), httpx.HTTPStatusError),
        (httpx.ConnectError("away"), httpx.ConnectError),
    ],
)
async def test_each_failure_is_told_as_the_docstring_says(error: Exception, told: type[Exception]) -> None:
    kubernetes = Kubernetes()
    kubernetes._api = Api(error)
    with pytest.raises(told):
        await kubernetes.deployment("trading", "servers")


@pytest.mark.parametrize(("uid", "there"), [("a", True), ("b", False)])
async def test_a_socketfleet_of_the_same_name_is_another_one(uid: str, there: bool) -> None:
    class Found(Kubernetes):
        async def _get(self, *_: Any, **__: Any) -> dict[str, Any]:
            return {"metadata": {"uid": "a"}}

    assert await Found().has_fleet("trading", "fleet", uid) is there


async def test_one_that_is_not_there_is_gone() -> None:
    kubernetes = Kubernetes()
    kubernetes._api = Api(refused(404))
    assert not await kubernetes.has_fleet("trading", "fleet", "a")

"""The operator's client where the API server does not do what it is asked; the real one is in tests/e2e."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import kr8s
import pytest

from tradecast_operator.kube.client import Conflict, InvalidName, Kubernetes, Missing


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
async def test_each_failure_is_reported_as_the_docstring_says(error: Exception, told: type[Exception]) -> None:
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


class Asked:
    """Remembers what was asked for."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    @contextlib.asynccontextmanager
    async def call_api(self, *_: Any, url: str, **__: Any) -> AsyncIterator[httpx.Response]:
        self.urls.append(url)
        yield httpx.Response(200, json={"items": [], "metadata": {"uid": "a"}})


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            "../x",
            "../../other/secrets/x",
            "x/y",
            "x?watch=1",
            "x#y",
            "x%2f",
            "x\n",
            "x ",
            "X",
            "-x",
            "x.",
        ),
        *("ä", "x" * 254, "\u0661"),
    ],
)
async def test_what_can_be_no_name_is_not_asked_for(name: str) -> None:
    """A part of a URL of another form is another object, in another namespace perhaps."""
    kubernetes, api = Kubernetes(), Asked()
    kubernetes._api = api
    for ask in (kubernetes.secret, kubernetes.deployment, kubernetes.config_map, kubernetes.lease):
        with pytest.raises(InvalidName):
            await ask("trading", name)
    for change in (
        kubernetes.set_replicas("trading", name, "1", 2),
        kubernetes.mark_pod("trading", name, "uid"),
        kubernetes.set_status("trading", name, {}),
        kubernetes.set_lease("trading", name, "1", {}),
        kubernetes.apply_config_map("trading", {"metadata": {"name": name}}),
        kubernetes.annotate_template("trading", name, "1", "a", "b"),
        kubernetes.set_pacing("trading", name, "1", minimum=1, deadline=2, annotation=("a", None)),
        kubernetes.adopt_replicas("trading", name, "1", 2),
    ):
        with pytest.raises(InvalidName):
            await change
    assert api.urls == []


@pytest.mark.parametrize("name", ["x", "1", "a-b.c", "x" * 253])
async def test_a_name_is(name: str) -> None:
    kubernetes, api = Kubernetes(), Asked()
    kubernetes._api = api
    await kubernetes.secret("trading", name)
    await kubernetes.replica_sets("trading", "a=b")
    assert api.urls == [f"secrets/{name}", "replicasets"]


@pytest.mark.parametrize(("deadline", "spec"), [(9, {"progressDeadlineSeconds": 9}), (None, {})])
async def test_what_paces_a_rollout_is_one_patch_of_one_version(deadline: int | None, spec: dict[str, int]) -> None:
    class Patched(Kubernetes):
        async def _patch(self, version: str, namespace: str, url: str, body: dict[str, Any]) -> dict[str, Any]:
            assert (version, namespace, url) == ("apps/v1", "trading", "deployments/servers")
            assert body == {
                "metadata": {"resourceVersion": "7", "annotations": {"held": None}},
                "spec": {"minReadySeconds": 5, **spec},
            }
            return body

    await Patched().set_pacing("trading", "servers", "7", minimum=5, deadline=deadline, annotation=("held", None))

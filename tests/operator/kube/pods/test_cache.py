"""The pods of a fleet, listed and watched at an HTTP server that pretends to be Kubernetes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import httpx
import pytest

from kit.kubernetes.api_server import served, write_kubeconfig
from kit.kubernetes.fake_api import NAMESPACE
from kit.kubernetes.many_pods import ManyPods, real_pod
from kit.waiting import eventually
from tradecast_operator.kube import client
from tradecast_operator.kube.client import Kubernetes
from tradecast_operator.kube.pods import cache as module
from tradecast_operator.kube.pods.cache import PodCache

SELECTOR = "app.kubernetes.io/name=tradecast"


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ManyPods]:
    """Ten pods, which are many here, on pages of four."""
    monkeypatch.setattr(module, "FEW", 5)
    monkeypatch.setattr(module, "PAUSE", 0.01)
    monkeypatch.setattr(client, "PAGE", 4)
    api = ManyPods(10, 9100)
    async with served(api) as url:
        write_kubeconfig(tmp_path / "config", url)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        yield api


@pytest.fixture
async def pods(api: ManyPods) -> AsyncIterator[PodCache]:
    kubernetes = Kubernetes()
    await kubernetes.start()
    pods = PodCache(kubernetes, NAMESPACE)
    yield pods
    await pods.close()
    for connections in (kubernetes._api._session, kubernetes._watch_api._session):
        if connections is not None:
            await connections.aclose()


async def names(pods: PodCache, api: ManyPods) -> Collection[str]:
    return {pod["metadata"]["name"] for pod in await pods.read(SELECTOR, len(api.live))}


async def watched(api: ManyPods, count: int = 1) -> None:
    await eventually(lambda: api.watches >= count and api.watching)


async def test_many_are_listed_once_and_follow_what_happens(pods: PodCache, api: ManyPods) -> None:
    assert await names(pods, api) == set(api.live)
    assert api.lists == 3
    await watched(api)
    first, second = list(api.live.values())[:2]
    api.change_pod("DELETED", first)
    api.change_pod("ADDED", real_pod(77))
    second["metadata"]["annotations"]["tradecast.dev/drain-since"] = "1"
    api.change_pod("MODIFIED", second)
    api.tell({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "99"}}})

    async def is_marked() -> bool:
        found = {pod["metadata"]["name"]: pod["metadata"] for pod in await pods.read(SELECTOR, len(api.live))}
        return "tradecast.dev/drain-since" in found[second["metadata"]["name"]]["annotations"]

    await eventually(is_marked)
    assert await names(pods, api) == set(api.live)
    assert (api.lists, api.watches) == (3, 1)


async def test_a_watch_that_ends_continues_where_it_was(pods: PodCache, api: ManyPods) -> None:
    await names(pods, api)
    await watched(api)
    api.tell({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {"resourceVersion": "99"}}})
    api.end_watches()
    await watched(api, 2)
    assert (api.lists, api.watched_from) == (3, ["10", "99"])


async def test_what_the_api_server_has_forgotten_is_listed_again(pods: PodCache, api: ManyPods) -> None:
    await names(pods, api)
    await watched(api)
    api.tell({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}})
    del api.live[next(iter(api.live))]  # which no watch tells

    async def is_known() -> bool:
        return await names(pods, api) == set(api.live)

    await eventually(is_known)
    assert api.lists == 6


async def test_a_silent_watch_begins_again(pods: PodCache, api: ManyPods, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WATCH_SILENT", 0.1)
    await names(pods, api)
    await watched(api, 3)
    assert api.lists == 3


async def test_a_connection_that_is_dead_and_does_not_say_so(
    pods: PodCache, api: ManyPods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Deployment's controller counts others than the watch has told of."""
    await names(pods, api)
    await watched(api)
    del api.live[next(iter(api.live))]
    assert len(await names(pods, api)) == 10, "not at once: the controller's number is late sometimes"
    monkeypatch.setattr(module, "LIST_AGAIN", 0)
    assert await names(pods, api) == set(api.live)


async def test_who_may_not_watch_lists_each_time(pods: PodCache, api: ManyPods) -> None:
    """A Role of before."""
    api.may_watch = False
    await names(pods, api)
    refused = pods._watching
    assert refused is not None
    await refused
    asked = api.watches
    del api.live[next(iter(api.live))]
    for _ in range(2):
        assert await names(pods, api) == set(api.live)
    assert (api.watches, api.lists) == (asked, 9)


async def test_few_are_listed_each_time_and_not_watched(pods: PodCache, api: ManyPods) -> None:
    for name in list(api.live)[:6]:
        del api.live[name]
    for _ in range(2):
        assert await names(pods, api) == set(api.live)
    assert (api.lists, api.watches) == (2, 0)


async def test_a_fleet_that_grows_or_shrinks_changes_from_one_to_the_other(pods: PodCache, api: ManyPods) -> None:
    gone = [api.live.pop(name) for name in list(api.live)[:6]]
    await names(pods, api)
    api.live |= {pod["metadata"]["name"]: pod for pod in gone}
    assert await names(pods, api) == set(api.live)
    await watched(api)
    for pod in gone:
        api.change_pod("DELETED", pod)

    async def are_few() -> bool:
        return await names(pods, api) == set(api.live) and pods._watching is None

    await eventually(are_few)


async def test_an_api_server_that_refuses_is_an_error_each_time(pods: PodCache, api: ManyPods) -> None:
    api.refuses = True
    for _ in range(2):
        with pytest.raises(httpx.HTTPError):
            await names(pods, api)
    api.refuses = False
    assert await names(pods, api) == set(api.live)


async def test_a_closed_cache_leaves_no_watch(pods: PodCache, api: ManyPods) -> None:
    await names(pods, api)
    await watched(api)
    await pods.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == f"pods {NAMESPACE}"]
    await pods.close()

"""Carrying out actions: patches to Kubernetes, requests to servers."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, Granted, pod_body
from kit.kubernetes.rounds import World, asked, two_pods
from tradecast_operator.clients.pod_http import PodClient
from tradecast_operator.clients.server_admin import ServerAdmin, ServerSilent, Target
from tradecast_operator.kube.act import Actor, Interrupted
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.observe import DRAIN_SINCE, DRAINING, FIRST
from tradecast_operator.kube.pods.reduced import DELETION_COST
from tradecast_operator.model.actions import UpdateDrain


async def test_fewer_are_wanted_the_emptiest_goes(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world, replicas=1))
    await fleet.round()
    metadata = kubernetes.pod("b")["metadata"]
    assert metadata["labels"][DRAINING] == "true"
    assert float(metadata["annotations"][DRAIN_SINCE]) > 0
    assert DRAINING not in kubernetes.pod("a")["metadata"]["labels"]
    assert world.servers[1].app.get_stats()["drain"]["active"]
    assert kubernetes.replicas == 2
    kubernetes.pod("b")["status"]["conditions"][0]["status"] = "False"  # as the kubelet finds
    for _ in range(5):
        await fleet.round()
    assert kubernetes.pod("b")["metadata"]["annotations"][DELETION_COST] == FIRST
    assert kubernetes.replicas == 1


async def test_another_operator_continues_with_a_drain_that_a_server_has_forgotten(world: World) -> None:
    pods = two_pods()
    pods[0]["metadata"]["labels"][DRAINING] = "true"
    pods[0]["metadata"]["annotations"][DRAIN_SINCE] = "99999999999"
    kubernetes = FakeKubernetes(pods)
    await world.fleet(kubernetes, asked(world, replicas=1)).round()
    assert world.servers[0].app.get_stats()["drain"]["active"]
    assert not world.servers[1].app.get_stats()["drain"]["active"]


async def test_a_new_need_cancels_the_drain(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    body = asked(world, replicas=1)
    fleet = world.fleet(kubernetes, body)
    await fleet.round()
    again = asked(world, replicas=3)
    again["metadata"]["generation"] = 2
    fleet.update(again)
    await fleet.round()
    assert kubernetes.replicas == 3
    assert not world.servers[1].app.get_stats()["drain"]["active"]
    assert not kubernetes.pod("b")["metadata"]["labels"].get(DRAINING)
    assert not kubernetes.pod("b")["metadata"]["annotations"]


async def test_somebody_else_was_faster(world: World) -> None:
    """What was decided for another version of the Deployment is not carried out."""
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world, replicas=4))
    read = kubernetes.deployment

    async def stale(namespace: str, name: str) -> Object:
        found = await read(namespace, name)
        await kubernetes.set_replicas(NAMESPACE, name, found["metadata"]["resourceVersion"], 3)
        return found

    kubernetes.deployment = stale  # type: ignore[method-assign]
    await fleet.round()
    assert kubernetes.replicas == 3
    assert kubernetes.events == []


async def test_what_was_done_before_kubernetes_failed_is_reported(world: World) -> None:
    waiting = [{**pod_body(name), "status": {"phase": "Pending"}} for name in ("c", "d")]
    kubernetes = FakeKubernetes([*two_pods(), *waiting], replicas=4)
    mark = kubernetes.mark_pod
    marked: list[str] = []

    async def fails_later(namespace: str, name: str, uid: str, **what: Any) -> None:
        if marked:
            raise httpx.ConnectError("the API server is away")
        marked.append(name)
        await mark(namespace, name, uid, **what)

    kubernetes.mark_pod = fails_later  # type: ignore[method-assign]
    fleet = world.fleet(kubernetes, asked(world))
    with pytest.raises(Interrupted, match="after 1 actions"):
        await fleet.round()
    assert [event["reason"] for event in kubernetes.events] == ["Drained"]
    assert world.told("actions_total", reason="Drained") == 1
    assert kubernetes.replicas == 4
    kubernetes.mark_pod = mark  # type: ignore[method-assign]
    await fleet.round()
    assert all(kubernetes.pod(name)["metadata"]["annotations"][DELETION_COST] == FIRST for name in ("c", "d"))


class Asked(ServerAdmin):
    """Servers of which one does not answer, and each answers when all were asked.

    Attributes:
        drains: What each was asked, by its pod's uid.
    """

    def __init__(self, expected: int) -> None:
        super().__init__(PodClient(), 1, ())
        self.drains: dict[str, tuple[float, float | None, float | None, float | None]] = {}
        self._everybody = asyncio.Barrier(expected)

    async def drain(
        self,
        target: Target,
        rate: float,
        within: float | None,
        *,
        renew_within: float | None = None,
        ends_within: float | None = None,
    ) -> None:
        await self._everybody.wait()
        if target.uid == "silent":
            raise ServerSilent
        self.drains[target.uid] = (rate, within, renew_within, ends_within)


@pytest.mark.parametrize("held", [True, False])
async def test_servers_are_asked_at_the_same_time_and_one_that_is_silent_is_no_event(held: bool) -> None:
    """One after the other, those of a large rollout would take longer than a round may."""
    uids = ["silent", *(f"pod-{number}" for number in range(200))]
    actions = [UpdateDrain(pod=uid, uid=uid, rate=7, renew_within=9, ends_within=5) for uid in uids]
    admin = Asked(len(uids))
    actor = Actor(FakeKubernetes(), Granted(held=held), admin, namespace=NAMESPACE, fleet="fleet", deployment="servers")
    targets = {uid: Target(uid, "127.0.0.1") for uid in uids}
    nobody = UpdateDrain(pod="gone", uid="gone", rate=7)
    async with asyncio.timeout(20):
        assert await actor.carry_out([*actions, nobody], targets) == []
    assert admin.drains == (dict.fromkeys(uids[1:], (7, None, 9, 5)) if held else {})

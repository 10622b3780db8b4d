"""Rounds of a fleet: real servers on loopback addresses, Kubernetes in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from kit.clients.python import PythonClients
from kit.kubernetes.fake_api import NAMESPACE, TOKEN, FakeKubernetes, Granted, SoleFleet, fleet_body, pod_body
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from tradecast_operator.kube.act import Interrupted
from tradecast_operator.kube.client import Missing, Object
from tradecast_operator.kube.fleet_observer import AdminAccess
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.kube.observe import DELETION_COST, DRAIN_SINCE, DRAINING, FIRST
from tradecast_operator.metrics import STATUSES, Metrics
from tradecast_operator.model.resource import PAUSED
from tradecast_operator.planning.autoscaler_metric import Unknown
from tradecast_operator.reconcile.fleet import Fleet


class World:
    """Two servers, of which the first has a client; all have one port, and addresses of their own."""

    def __init__(self, servers: list[RunningServer], client: httpx.AsyncClient) -> None:
        self.servers = servers
        self.metrics = Metrics()
        self.lease = Granted()
        self._access = AdminAccess(client, asyncio.Semaphore(50))

    def fleet(self, kubernetes: FakeKubernetes, body: Object) -> Fleet:
        return Fleet(body, kubernetes, self._access, self.metrics, self.lease, SoleFleet())

    def told(self, metric: str, **labels: str) -> float | None:
        labels |= {"namespace": NAMESPACE, "fleet": "fleet"}
        return self.metrics.registry.get_sample_value(f"tradecast_operator_{metric}", labels)


@pytest.fixture
async def world(make_server: MakeServer) -> AsyncIterator[World]:
    first = await make_server(admin_token=TOKEN, admin_host="127.0.0.11", pod_uid="uid-a", drain_delay=0)
    port = urlsplit(first.admin_url).port
    second = await make_server(
        admin_token=TOKEN, admin_host="127.0.0.12", admin_port=port, pod_uid="uid-b", drain_delay=0
    )
    async with PythonClients() as clients, httpx.AsyncClient(timeout=5) as http:
        await clients.connect(first.url, await first.session("u1"), ["websocket"])
        yield World([first, second], http)


def two_pods() -> list[Object]:
    return [pod_body("a", "127.0.0.11"), pod_body("b", "127.0.0.12")]


def asked(world: World, **spec: object) -> Object:
    port = urlsplit(world.servers[0].admin_url).port
    spec.setdefault("redisAdapter", {"mode": "single"})  # two without Redis: else that is told
    return fleet_body(admin={"port": port, "tokenSecret": {"name": "tokens"}}, **spec)


def conditions(kubernetes: FakeKubernetes) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in kubernetes.statuses[-1]["conditions"]}


async def test_what_is_as_it_should_be_stays(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world))
    assert await fleet.round() == "ok"
    assert kubernetes.replicas == 2
    assert kubernetes.events == []
    status = kubernetes.statuses[-1]
    assert (status["replicas"], status["readyReplicas"], status["desiredReplicas"]) == (2, 2, 2)
    assert (status["connections"], status["mode"]) == (1, "single")
    assert status["selector"] == "app.kubernetes.io/name=tradecast"
    assert conditions(kubernetes)["Available"] == ("True", "EnoughReady")
    assert fleet.connections() == 1
    await fleet.round()
    assert len(kubernetes.statuses) == 1, "what has not changed was written again"


async def test_a_token_that_is_refused_is_looked_for_again(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    kubernetes.secrets["tokens"] = {"ADMIN_TOKEN": "of another time"}
    fleet = world.fleet(kubernetes, asked(world))
    assert await fleet.round() == "incomplete"
    assert conditions(kubernetes)["Degraded"] == ("True", "ServersSilent")
    kubernetes.secrets.clear()
    assert await fleet.round() == "ok"


@pytest.mark.parametrize("token", [f"{TOKEN},old", f"{TOKEN}\n", f" {TOKEN} , old"])
async def test_of_the_tokens_that_servers_take_it_sends_one(world: World, token: str) -> None:
    kubernetes = FakeKubernetes(two_pods())
    kubernetes.secrets["tokens"] = {"ADMIN_TOKEN": token}
    assert await world.fleet(kubernetes, asked(world)).round() == "ok"


async def test_while_no_server_answers_the_mode_is_what_it_was(world: World) -> None:
    """Replicas are held by it: two servers in single must not become five because they are silent for a moment."""
    kubernetes = FakeKubernetes(two_pods())
    reference = {"configMapKeyRef": {"name": "fleet-adapter", "key": "mode", "optional": True}}
    env = [{"name": "ADAPTER_MODE", "valueFrom": reference}]
    kubernetes.deployments["servers"]["spec"]["template"] = {"spec": {"containers": [{"env": env}]}}
    body = asked(world, replicas=5, redisAdapter={"apply": "roll", "mode": "auto"})
    body["status"] = {"mode": "single"}
    for pod in kubernetes.pod_list:
        pod["status"]["podIP"] = "127.0.0.99"
    fleet = world.fleet(kubernetes, body)
    for _ in range(3):
        assert await fleet.round() == "incomplete"
        assert (kubernetes.replicas, kubernetes.statuses[-1]["mode"]) == (2, "single")


async def test_what_was_seen_is_told_of_the_resource_as_it_was(world: World) -> None:
    """Else `observedGeneration` says that somebody's change has been seen, and `replicas` of it are overwritten."""
    kubernetes = FakeKubernetes(two_pods())
    body = asked(world)
    del body["spec"]["replicas"]
    read, adopted = kubernetes.deployment, []

    async def meanwhile(namespace: str, name: str) -> Object:
        newer = {**body["metadata"], "generation": 2, "resourceVersion": "2"}
        fleet.update({**body, "metadata": newer, "spec": {**body["spec"], "replicas": 2}})
        return await read(namespace, name)

    async def adopt(namespace: str, name: str, version: str, replicas: int) -> None:
        adopted.append(version)

    kubernetes.deployment, kubernetes.adopt_replicas = meanwhile, adopt  # type: ignore[method-assign]
    fleet = world.fleet(kubernetes, body)
    await fleet.round()
    assert adopted == ["1"]
    body = asked(world)
    fleet = world.fleet(kubernetes, body)
    await fleet.round()
    assert kubernetes.statuses[-1]["observedGeneration"] == 1
    await fleet.round()
    assert kubernetes.statuses[-1]["observedGeneration"] == 2


async def test_more_are_wanted(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    await world.fleet(kubernetes, asked(world, replicas=4)).round()
    assert kubernetes.replicas == 4
    (event,) = kubernetes.events
    assert (event["type"], event["reason"], event["message"]) == ("Normal", "ScaledUp", "2 → 4 replicas: 4 are wanted")
    assert event["involvedObject"]["name"] == "fleet"


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


async def test_another_operator_goes_on_with_a_drain_that_a_server_has_forgotten(world: World) -> None:
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


@pytest.mark.parametrize("how", ["paused", "dry run"])
async def test_nothing_is_done_where_that_is_wanted(world: World, how: str) -> None:
    kubernetes = FakeKubernetes(two_pods())
    body = asked(world, replicas=5, dryRun=how == "dry run")
    if how == "paused":
        body["metadata"]["annotations"] = {PAUSED: "true"}
    await world.fleet(kubernetes, body).round()
    assert kubernetes.replicas == 2
    assert [event["message"][:8] for event in kubernetes.events] == ([] if how == "paused" else ["dry run:"])
    assert conditions(kubernetes)["Progressing"] == (("False", "Paused") if how == "paused" else ("True", "ScalingUp"))


async def test_a_fleet_without_replicas_begins_with_what_is_there(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods(), replicas=7)
    body = asked(world)
    del body["spec"]["replicas"]
    await world.fleet(kubernetes, body).round()
    assert kubernetes.fleet_replicas == [7]
    assert kubernetes.replicas == 7


async def test_a_silent_server_is_told_and_no_number_is(world: World) -> None:
    kubernetes = FakeKubernetes([*two_pods(), pod_body("c", "127.0.0.13")], replicas=3)
    fleet = world.fleet(kubernetes, asked(world, replicas=3))
    assert await fleet.round() == "incomplete"
    assert conditions(kubernetes)["Degraded"] == ("True", "ServersSilent")
    with pytest.raises(Unknown):
        fleet.connections()


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


async def test_what_was_done_before_kubernetes_failed_is_told(world: World) -> None:
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


async def test_a_fleet_that_is_gone_leaves_no_server_out_of_service(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world, replicas=1))
    await fleet.round()
    assert world.servers[1].app.get_stats()["drain"]["active"]
    await fleet.release()
    assert not world.servers[1].app.get_stats()["drain"]["active"]
    assert not kubernetes.pod("b")["metadata"]["annotations"]
    assert kubernetes.replicas == 2


async def test_what_it_tells_of_a_fleet(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    body = asked(world, replicas=4, drain={"timeoutSeconds": 90}, rebalance={"thresholdPercent": 150})
    fleet = world.fleet(kubernetes, body)
    await fleet.round()
    assert {which: world.told("replicas", which=which) for which in ("wanted", "asked", "ready", "draining")} == {
        "wanted": 4,
        "asked": 2,
        "ready": 2,
        "draining": 0,
    }
    assert (world.told("connections"), world.told("spread_ratio")) == (1, 2)
    assert (world.told("spread_threshold_ratio"), world.told("drain_limit_seconds")) == (1.5, 90)
    assert world.told("actions_total", reason="ScaledUp") == 1
    assert {status: world.told("condition", type="Available", status=status) for status in STATUSES} == {
        "True": 1,
        "False": 0,
        "Unknown": 0,
    }
    kubernetes.deployments.clear()
    with pytest.raises(Missing):
        await fleet.round()
    await fleet.run_round()
    assert (
        world.told("condition", type="Available", status="True"),
        world.told("condition", type="Available", status="Unknown"),
    ) == (0, 1)


async def test_somebody_who_writes_the_replicas_too_is_told_of(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world, replicas=4))
    await fleet.round()
    assert world.told("replica_reversals_total") == 0
    for count in (2, 4):
        deployment = await kubernetes.deployment(NAMESPACE, "servers")
        await kubernetes.set_replicas(NAMESPACE, "servers", deployment["metadata"]["resourceVersion"], 2)
        await fleet.round()
        assert kubernetes.replicas == 4
        assert world.told("replica_reversals_total") == count


async def test_a_fleet_is_told_of_before_its_first_round_ends(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    asked_for = asyncio.Event()

    async def hang(namespace: str, name: str) -> Object:
        asked_for.set()
        return await asyncio.Future()

    kubernetes.deployment = hang  # type: ignore[method-assign]
    task = asyncio.create_task(world.fleet(kubernetes, asked(world)).run(60))
    try:
        async with asyncio.timeout(10):
            await asked_for.wait()
        assert world.told("last_round_timestamp_seconds")
        assert world.told("rounds_total", result="ok") == 0
    finally:
        task.cancel()


async def test_an_operator_that_waits_looks_on_and_knows_the_number(world: World) -> None:
    world.lease.grant(held=False)
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world, replicas=5))
    with pytest.raises(NotHeld):
        await fleet.round()
    assert (kubernetes.replicas, kubernetes.statuses, kubernetes.events) == (2, [], [])
    assert fleet.connections() == 1
    world.lease.grant(held=True)
    await fleet.round()
    assert kubernetes.replicas == 5


@pytest.mark.parametrize("had", [False, True], ids=["not held before", "held, lost and got again"])
async def test_what_was_seen_before_the_lease_was_had_is_not_acted_on(world: World, had: bool) -> None:
    """Another operator may have acted between the look and the Lease."""
    world.lease.grant(held=had)
    kubernetes = FakeKubernetes(two_pods())
    listed = kubernetes.pods

    async def meanwhile(namespace: str, selector: str) -> Any:
        pods = await listed(namespace, selector)
        world.lease.grant(held=False)
        world.lease.grant(held=True)
        return pods

    kubernetes.pods = meanwhile  # type: ignore[method-assign]
    fleet = world.fleet(kubernetes, asked(world, replicas=5))
    with pytest.raises(NotHeld):
        await fleet.round()
    assert kubernetes.replicas == 2
    kubernetes.pods = listed  # type: ignore[method-assign]
    await fleet.round()
    assert kubernetes.replicas == 5


async def test_a_condition_that_was_told_is_not_told_by_one_that_has_lost_the_lease(world: World) -> None:
    """Else an alert on it would never end, whatever the other operator finds."""
    kubernetes = FakeKubernetes(two_pods())
    kubernetes.deployments.clear()
    fleet = world.fleet(kubernetes, asked(world))
    running = asyncio.create_task(fleet.run(0.01))
    told = {"type": "Degraded", "status": "True"}
    try:
        await eventually(lambda: world.told("condition", **told))
        world.lease.grant(held=False)
        await eventually(lambda: world.told("condition", **told) is None)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_operator_that_loses_the_lease_in_a_round_acts_no_more(world: World) -> None:
    """The mark is set while it has the Lease; the server, which asks nobody, is not told after that."""
    kubernetes = FakeKubernetes([*two_pods(), pod_body("c", "127.0.0.13")], replicas=3)
    mark = kubernetes.mark_pod

    async def last(*arguments: Any, **options: Any) -> None:
        await mark(*arguments, **options)
        world.lease.grant(held=False)

    kubernetes.mark_pod = last  # type: ignore[method-assign]
    fleet = world.fleet(kubernetes, asked(world, replicas=1))
    with pytest.raises(NotHeld):
        await fleet.round()
    drained = [pod for pod in kubernetes.pod_list if pod["metadata"]["annotations"]]
    assert len(drained) == 1
    assert kubernetes.statuses == []


async def test_what_is_told_by_one_that_waits(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world, replicas=4))
    running = asyncio.create_task(fleet.run(0.01))
    try:
        await eventually(lambda: world.told("actions_total", reason="ScaledUp"))
        assert world.told("active") == 1
        world.lease.grant(held=False)
        await eventually(lambda: world.told("rounds_total", result="waiting"))
        assert world.told("active") == 0
        assert world.told("connections") is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await fleet.leave()


async def test_a_deployment_that_is_missing_is_told_and_no_reason_to_start_again(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    kubernetes.deployments.clear()
    fleet = world.fleet(kubernetes, asked(world))
    fleet.last_round = 0
    running = asyncio.create_task(fleet.run(60))
    try:
        await eventually(lambda: kubernetes.statuses)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert fleet.last_round > 0
    assert conditions(kubernetes)["Available"][0] == "Unknown"
    assert any("does not exist" in one["message"] for one in kubernetes.statuses[-1]["conditions"])

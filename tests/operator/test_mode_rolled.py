"""A fleet of real servers rolled onto another mode; the test stands for the Deployment's controller."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kit.kubernetes.fake_api import TOKEN, FakeKubernetes, Granted, SoleFleet, fleet_body, pod_body
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.delivery.errors import AdapterUnavailable
from tradecast_operator.clients.pod_http import PodClient
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.fleet_observer import AdminAccess
from tradecast_operator.metrics import Metrics
from tradecast_operator.reconcile.config_map import KEY
from tradecast_operator.reconcile.fleet import Fleet
from tradecast_operator.tuning import mode_change

pytestmark = pytest.mark.redis


class Mounted(FakeKubernetes):
    """The ConfigMap is where the servers look, and the Deployment takes the mode from it as the chart has it."""

    def __init__(self, path: Path, pods: list[Object]) -> None:
        super().__init__(pods)
        self._path = path
        reference = {"configMapKeyRef": {"name": "fleet-adapter", "key": "mode", "optional": True}}
        env = [{"name": "ADAPTER_MODE", "valueFrom": reference}]
        self.deployments["servers"]["spec"]["template"] = {"spec": {"containers": [{"env": env}]}}

    async def apply_config_map(self, namespace: str, body: Object) -> None:
        await super().apply_config_map(namespace, body)
        self._path.write_bytes(body["data"][KEY].encode())

    @property
    def data(self) -> dict[str, str]:
        return dict(self.config_maps.get("fleet-adapter", {}).get("data", {}))

    @property
    def mark(self) -> str:
        annotations = self.deployments["servers"]["spec"]["template"].get("metadata", {}).get("annotations", {})
        return str(annotations.get("tradecast.dev/adapter-mode", ""))

    def rolls(self, pods: list[Object], *, updated: int) -> None:
        """As its controller tells of a rollout."""
        self.pod_list = pods
        found = self.deployments["servers"]
        generation = found["metadata"]["generation"]
        found["status"] |= {"observedGeneration": generation, "replicas": len(pods), "updatedReplicas": updated}


async def test_servers_are_rolled_from_one_redis_onto_a_cluster(
    make_server: MakeServer,
    redis_server: RedisServer,
    redis_cluster: RedisCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mode_change, "WATCH_SECONDS", 0.2)
    monkeypatch.setattr(mode_change, "CONFIG_MAP_DELAY", 0.0)
    path = tmp_path / "adapter.yaml"
    urls = {"redis_url": redis_server.url, "redis_cluster_url": redis_cluster.url}
    common = {"admin_token": TOKEN, "adapter_file": str(path), "publish_timeout": 0.5, **urls}
    first = await make_server(admin_host="127.0.0.31", pod_uid="uid-a", **common)
    port = urlsplit(first.admin_url).port
    second = await make_server(admin_host="127.0.0.32", pod_uid="uid-b", admin_port=port, **common)
    old = [pod_body("a", "127.0.0.31"), pod_body("b", "127.0.0.32")]
    kubernetes = Mounted(path, old)
    admin = {"port": port, "tokenSecret": {"name": "tokens"}}
    adapter = {"apply": "roll", "mode": "sharded", "dwellSeconds": 0}
    body = fleet_body(admin=admin, redisAdapter=adapter)

    def both(*servers: RunningServer) -> list[int]:
        return [server.app.get_stats()["adapter"]["inForce"]["publish_both"] for server in servers]

    access = AdminAccess(PodClient(), asyncio.Semaphore(50))
    fleet = Fleet(body, kubernetes, access, Metrics(), Granted(), SoleFleet())

    async def round_tells(reason: str) -> bool:
        await fleet.round()
        return reason in [event["reason"] for event in kubernetes.events]

    async def is_marked() -> bool:
        await fleet.round()
        assert kubernetes.data.get("mode") is None or both(first, second) == [1, 1]
        return kubernetes.mark == "sharded"

    await eventually(is_marked)
    assert kubernetes.data == {KEY: "publish_both: 1\n", "mode": "sharded"}
    # The Deployment's controller makes the new ones, and another operator takes over.
    common["adapter_mode"] = kubernetes.data["mode"]
    third = await make_server(admin_host="127.0.0.33", pod_uid="uid-c", admin_port=port, **common)
    fourth = await make_server(admin_host="127.0.0.34", pod_uid="uid-d", admin_port=port, **common)
    assert [server.app.get_stats()["adapter"]["mode"] for server in (first, third)] == ["pubsub", "sharded"]
    assert both(first, second, third, fourth) == [1, 1, 1, 1]
    new = [pod_body("c", "127.0.0.33"), pod_body("d", "127.0.0.34")]
    for pod in new:
        pod["metadata"]["labels"]["pod-template-hash"] = "def"
    kubernetes.rolls([*old, *new], updated=2)
    fleet = Fleet(body, kubernetes, access, Metrics(), Granted(), SoleFleet())
    await fleet.round()
    assert kubernetes.statuses[-1]["mode"] == "pubsub/sharded"
    assert kubernetes.data[KEY] == "publish_both: 1\n"
    # They drain, and events go to both until they are gone.
    ending = [{**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "2026-01-01T10:00:00Z"}} for pod in old]
    kubernetes.rolls([*ending, *new], updated=4)
    await fleet.round()
    assert kubernetes.data[KEY] == "publish_both: 1\n"
    await first.stop()
    await second.stop()
    kubernetes.rolls(new, updated=2)
    await eventually(lambda: round_tells("AdapterModeRolled"))
    assert kubernetes.data == {KEY: "{}\n", "mode": "sharded"}
    assert both(third, fourth) == [0, 0]
    tuned = next(one for one in kubernetes.statuses[-1]["conditions"] if one["type"] == "AdapterTuned")
    assert tuned["status"] == "True"


async def test_servers_are_not_rolled_onto_a_cluster_that_takes_no_events(
    make_server: MakeServer,
    redis_server: RedisServer,
    redis_cluster: RedisCluster,
    tmp_path: Path,
) -> None:
    """It answers, and is full: what a PING does not tell."""
    path = tmp_path / "adapter.yaml"
    urls = {"redis_url": redis_server.url, "redis_cluster_url": redis_cluster.url}
    server = await make_server(
        admin_host="127.0.0.37", pod_uid="uid-a", admin_token=TOKEN, adapter_file=str(path), publish_timeout=0.5, **urls
    )
    for node in redis_cluster.nodes:
        await node.ask("CONFIG", "SET", "maxmemory", "1")
    kubernetes = Mounted(path, [pod_body("a", "127.0.0.37")])
    kubernetes.deployments["servers"]["spec"]["replicas"] = 1
    admin = {"port": urlsplit(server.admin_url).port, "tokenSecret": {"name": "tokens"}}
    adapter = {"apply": "roll", "mode": "sharded", "dwellSeconds": 0}
    body = fleet_body(admin=admin, replicas=1, redisAdapter=adapter)
    access = AdminAccess(PodClient(), asyncio.Semaphore(50))
    fleet = Fleet(body, kubernetes, access, Metrics(), Granted(), SoleFleet())

    async def is_rolled_back() -> bool:
        with contextlib.suppress(AdapterUnavailable):
            await server.app.emit("quote", {"p": 1}, to="instrument:X")
        await fleet.round()
        return "AdapterTakenBack" in [event["reason"] for event in kubernetes.events]

    await eventually(is_rolled_back)
    assert "the Redis of sharded has not accepted" in kubernetes.events[-1]["message"]
    assert (kubernetes.mark, kubernetes.data) == ("", {KEY: "{}\n"})


async def test_one_server_without_redis_is_rolled_before_there_are_more(
    make_server: MakeServer, redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mode_change, "CONFIG_MAP_DELAY", 0.0)
    path = tmp_path / "adapter.yaml"
    common = {"admin_token": TOKEN, "adapter_file": str(path), "redis_url": redis_server.url}
    first = await make_server(admin_host="127.0.0.35", pod_uid="uid-a", adapter_mode="single", **common)
    port = urlsplit(first.admin_url).port
    pod = pod_body("a", "127.0.0.35")
    kubernetes = Mounted(path, [pod])
    kubernetes.deployments["servers"]["spec"]["replicas"] = 1
    admin = {"port": port, "tokenSecret": {"name": "tokens"}}
    body = fleet_body(admin=admin, replicas=3, minReplicas=2, redisAdapter={"apply": "roll", "dwellSeconds": 0})
    access = AdminAccess(PodClient(), asyncio.Semaphore(50))
    fleet = Fleet(body, kubernetes, access, Metrics(), Granted(), SoleFleet())
    await until_marked(fleet, kubernetes)
    assert (kubernetes.mark, kubernetes.data["mode"], kubernetes.replicas) == ("pubsub", "pubsub", 1)
    reasons = [event["reason"] for event in kubernetes.events]
    assert reasons == ["ReplicasHeld", "AdapterModeRecommended", "AdapterModeRolling"]
    assert kubernetes.statuses[-1]["desiredReplicas"] == 1
    await first.stop()
    await make_server(admin_host="127.0.0.36", pod_uid="uid-b", admin_port=port, adapter_mode="pubsub", **common)
    kubernetes.rolls([pod_body("b", "127.0.0.36")], updated=1)
    await fleet.round()
    assert kubernetes.replicas == 3
    assert [event["reason"] for event in kubernetes.events][-2:] == ["ScaledUp", "AdapterModeRolled"]


async def until_marked(fleet: Fleet, kubernetes: Mounted) -> None:
    async def is_marked() -> bool:
        await fleet.round()
        return bool(kubernetes.mark)

    await eventually(is_marked)

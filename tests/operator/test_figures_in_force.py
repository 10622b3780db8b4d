"""The operator's figures in force at real servers, through a real Redis: the ConfigMap is a file that they watch."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kit.kubernetes.fake_api import TOKEN, FakeKubernetes, Granted, SoleFleet, fleet_body, pod_body
from kit.servers.in_process import MakeServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast_operator.clients.pod_http import PodClient
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.fleet_observer import AdminAccess
from tradecast_operator.metrics import Metrics
from tradecast_operator.reconcile.config_map import KEY
from tradecast_operator.reconcile.fleet import Fleet

pytestmark = pytest.mark.redis


class Mounted(FakeKubernetes):
    """The ConfigMap is where the servers look."""

    def __init__(self, path: Path, pods: list[Object]) -> None:
        super().__init__(pods)
        self._path = path

    async def apply_config_map(self, namespace: str, body: Object) -> None:
        await super().apply_config_map(namespace, body)
        self._path.write_bytes(body["data"][KEY].encode())


async def test_settings_are_taken_and_confirmed_and_those_that_are_refused_rolled_back(
    make_server: MakeServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    path = tmp_path / "adapter.yaml"
    common = {"admin_token": TOKEN, "redis_url": redis_server.url, "adapter_file": str(path)}
    first = await make_server(admin_host="127.0.0.21", pod_uid="uid-a", **common)
    port = urlsplit(first.admin_url).port
    second = await make_server(admin_host="127.0.0.22", pod_uid="uid-b", admin_port=port, **common)
    kubernetes = Mounted(path, [pod_body("a", "127.0.0.21"), pod_body("b", "127.0.0.22")])
    kubernetes.secrets["redis"] = {"REDIS_URL": redis_server.url}

    def asked(**pinned: float) -> Object:
        adapter = {
            "apply": "figures",
            "pinned": pinned,
            "dwellSeconds": 0,
            "redisSecret": {"name": "redis", "key": "REDIS_URL"},
        }
        admin = {"port": port, "tokenSecret": {"name": "tokens"}}
        return fleet_body(admin=admin, redisAdapter=adapter)

    def tuned() -> Object:
        found: Object = next(one for one in kubernetes.statuses[-1]["conditions"] if one["type"] == "AdapterTuned")
        return found

    access = AdminAccess(PodClient(), asyncio.Semaphore(50))
    fleet = Fleet(asked(publish_batch=7, batch_window_ms=2.5), kubernetes, access, Metrics(), Granted(), SoleFleet())

    async def round_says(reason: str) -> bool:
        await fleet.round()
        return bool(tuned()["reason"] == reason)

    await eventually(lambda: round_says("Watching"))
    for server in (first, second):
        adapter = server.app.get_stats()["adapter"]
        assert (adapter["inForce"]["publish_batch"], adapter["inForce"]["batch_window_ms"]) == (7, 2.5)
        assert adapter["revision"] == kubernetes.statuses[-1]["adapter"]["revision"]
    limited = next(one for one in kubernetes.statuses[-1]["conditions"] if one["type"] == "RedisLimited")
    assert limited["status"] == "False"
    # As if the API server had let it pass.
    del kubernetes.config_maps["fleet-adapter"]
    path.unlink()
    fleet = Fleet(asked(publish_timeout=1, batch_window_ms=1000), kubernetes, access, Metrics(), Granted(), SoleFleet())
    await eventually(lambda: round_says("TakenBack"))
    assert "batch_window_ms is not below publish_timeout" in tuned()["message"]
    assert kubernetes.config_maps["fleet-adapter"]["data"] == {KEY: "{}\n"}
    assert [event["reason"] for event in kubernetes.events][-1] == "AdapterTakenBack"

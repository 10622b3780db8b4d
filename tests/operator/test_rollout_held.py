"""Rollouts of real servers, whose Deployment's controller the test stands for."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from kit.clients.python import PythonClients
from kit.kubernetes.fake_api import (
    DEPLOYMENT,
    REPLICA_SET,
    TOKEN,
    FakeKubernetes,
    Granted,
    SoleFleet,
    fleet_body,
    owned_by,
    pod_body,
)
from kit.kubernetes.rounds import conditions
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast_operator.clients.pod_http import PodClient
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.fleet_observer import AdminAccess
from tradecast_operator.kube.owners import NUMBER
from tradecast_operator.metrics import Metrics
from tradecast_operator.model.rollout_record import HOLD
from tradecast_operator.planning.rollout_hold import HELD, NO_DEADLINE
from tradecast_operator.reconcile.fleet import Fleet

pytestmark = pytest.mark.redis
BAD_SET = "replica-set-bad"


class Rolling(FakeKubernetes):
    """A Deployment that is being rolled from the revision `good` to the revision `bad`, of a server each."""

    def __init__(self) -> None:
        good = pod_body("good", "127.0.0.41")
        bad = pod_body("bad", "127.0.0.42", ownerReferences=[owned_by("ReplicaSet", BAD_SET)])
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        bad["status"]["conditions"][0]["lastTransitionTime"] = now
        super().__init__([good, bad], replicas=1)
        for pod in self.pod_list:
            pod["metadata"]["labels"]["pod-template-hash"] = pod["metadata"]["name"]
        self.sets = [
            {
                "metadata": {
                    "uid": uid,
                    "labels": {"pod-template-hash": label},
                    "annotations": {NUMBER: number},
                    "ownerReferences": [owned_by("Deployment", DEPLOYMENT)],
                }
            }
            for uid, label, number in ((REPLICA_SET, "good", "1"), (BAD_SET, "bad", "2"))
        ]
        self.metadata = self.deployments["servers"]["metadata"]
        self.metadata["annotations"] = {NUMBER: "2", "meta.helm.sh/release-name": "prod"}
        self.deployments["servers"]["status"]["updatedReplicas"] = 1

    @property
    def pacing(self) -> tuple[int, int]:
        spec = self.deployments["servers"]["spec"]
        return spec["minReadySeconds"], spec["progressDeadlineSeconds"]

    def undo(self) -> None:
        """As `helm rollback` and the Deployment's controller do."""
        self.metadata["annotations"][NUMBER] = "3"
        self.sets[0]["metadata"]["annotations"][NUMBER] = "3"

    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.events]


class Bench:
    """The two servers, and the fleet's operator."""

    def __init__(self, good: RunningServer, bad: RunningServer) -> None:
        self.good, self.bad = good, bad
        self.kubernetes = Rolling()
        self.body = fleet_body(
            admin={"port": urlsplit(good.admin_url).port, "tokenSecret": {"name": "tokens"}},
            redisAdapter={"mode": "pubsub"},
            replicas=1,
        )
        self._access = AdminAccess(PodClient(), asyncio.Semaphore(50))
        self.fleet = self.another_operator()

    def another_operator(self) -> Fleet:
        return Fleet(self.body, self.kubernetes, self._access, Metrics(), Granted(), SoleFleet())

    def fail(self, **outcomes: int) -> None:
        """Have the new server report that it fails."""
        found = {"connects": 0, "connectFailures": 0, "events": 0, "eventErrors": 0, **outcomes}
        self.bad.app.components.stats.metrics.outcomes = lambda: found  # type: ignore[method-assign]

    def superseded(self) -> bool:
        return bool(self.good.app.get_stats()["fleet"]["superseded"])

    def draining(self) -> dict[str, Any]:
        return {name: one.app.get_stats()["drain"] for name, one in (("good", self.good), ("bad", self.bad))}

    def status(self) -> Object:
        return self.kubernetes.statuses[-1]


@pytest.fixture
async def bench(make_server: MakeServer, redis_server: RedisServer) -> Bench:
    common = {"admin_token": TOKEN, "redis_url": redis_server.url, "drain_delay": 0}
    good = await make_server(
        admin_host="127.0.0.41", pod_uid="uid-good", pod_name="good", fleet_revision="good", **common
    )
    port = urlsplit(good.admin_url).port
    bad = await make_server(
        admin_host="127.0.0.42", pod_uid="uid-bad", pod_name="bad", admin_port=port, fleet_revision="bad", **common
    )
    found = Bench(good, bad)
    await eventually(found.superseded)
    return found


async def test_a_bad_revision_is_held_its_servers_leave_and_the_old_ones_are_back(bench: Bench) -> None:
    kubernetes = bench.kubernetes
    await bench.fleet.round()
    assert conditions(kubernetes)["RolloutHeld"] == ("False", "OnTrial")
    assert bench.status()["rollout"]["progress"] == "Trial 50%"
    bench.fail(connects=30, connectFailures=30)
    await bench.fleet.round()
    assert kubernetes.pacing == (HELD, NO_DEADLINE)
    assert kubernetes.reasons() == ["RolloutHeld"]
    assert "30 of 30 connects failed" in kubernetes.events[0]["message"]
    assert "helm rollback prod" in kubernetes.events[0]["message"]
    await bench.another_operator().round()  # which finds the record
    assert conditions(kubernetes)["RolloutHeld"] == ("True", "TrialFailed")
    assert bench.status()["rollout"]["progress"] == "Held 50%"
    drains = bench.draining()
    assert (drains["good"]["active"], drains["bad"]["active"]) == (False, True)
    assert drains["bad"]["renewWithin"] == 3600
    await eventually(lambda: not bench.superseded())


async def test_an_undone_rollout_ends_the_hold(bench: Bench) -> None:
    kubernetes = bench.kubernetes
    bench.fail(events=100, eventErrors=50)
    for _ in range(2):
        await bench.fleet.round()
    assert kubernetes.pacing == (HELD, NO_DEADLINE)
    kubernetes.undo()
    await bench.fleet.round()
    assert kubernetes.pacing == (60, 600)
    assert HOLD not in kubernetes.metadata["annotations"]
    assert kubernetes.reasons() == ["RolloutHeld", "RolloutReleased"]
    assert bench.draining()["bad"]["active"], "it ends, so nobody comes back to it"
    await bench.fleet.round()
    assert conditions(kubernetes)["RolloutHeld"][0] == "False"


async def test_a_person_has_it_continue(bench: Bench) -> None:
    kubernetes = bench.kubernetes
    bench.fail(connects=30, connectFailures=30)
    for _ in range(2):
        await bench.fleet.round()
    assert bench.draining()["bad"]["active"]
    bench.body["spec"]["rollout"] = {"trial": {"enabled": False}}
    for _ in range(2):
        await bench.fleet.round()
    assert kubernetes.pacing == (60, 600)
    assert not bench.draining()["bad"]["active"]
    assert conditions(kubernetes)["RolloutHeld"] == ("False", "TrialDisabled")


async def test_a_socketfleet_that_is_deleted_leaves_nothing_held(bench: Bench) -> None:
    kubernetes = bench.kubernetes
    bench.fail(connects=30, connectFailures=30)
    for _ in range(2):
        await bench.fleet.round()
    assert bench.draining()["bad"]["active"]
    await bench.fleet.release()
    assert kubernetes.pacing == (60, 600)
    assert not bench.draining()["bad"]["active"]


async def test_a_paused_fleet_and_a_dry_run_hold_nothing(bench: Bench) -> None:
    kubernetes = bench.kubernetes
    bench.fail(connects=30, connectFailures=30)
    bench.body["spec"]["dryRun"] = True
    await bench.fleet.round()
    assert kubernetes.pacing == (60, 600)
    assert [one["message"][:24] for one in kubernetes.events if one["reason"] == "RolloutHeld"] == [
        "dry run: the rollout of "
    ]
    bench.body["spec"]["dryRun"] = False
    bench.body["metadata"]["annotations"] = {"tradecast.dev/paused": "true"}
    await bench.fleet.round()
    assert kubernetes.pacing == (60, 600)


async def test_a_terminating_server_gets_its_end_and_a_higher_rate(make_server: MakeServer) -> None:
    # Nobody leaves in the first minute.
    server = await make_server(
        admin_token=TOKEN, admin_host="127.0.0.43", pod_uid="uid-a", drain_delay=60, drain_rate=5, shutdown_timeout=1
    )
    killed = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=40)
    pod = pod_body(
        "a",
        "127.0.0.43",
        deletionTimestamp=killed.isoformat(timespec="seconds"),
        deletionGracePeriodSeconds=40,
    )
    kubernetes = FakeKubernetes([pod], replicas=1)
    body = fleet_body(
        admin={"port": urlsplit(server.admin_url).port, "tokenSecret": {"name": "tokens"}},
        drain={"connectionsPerSecond": 5},
        replicas=1,
    )
    async with PythonClients() as clients:
        await clients.connect(server.url, await server.session("u1"), ["websocket"])
        access = AdminAccess(PodClient(), asyncio.Semaphore(50))
        fleet = Fleet(body, kubernetes, access, Metrics(), Granted(), SoleFleet())
        server.app.components.drain.start(timeout=500)  # SIGTERM
        await fleet.round()
        told = server.app.get_stats()["drain"]
        assert (told["rate"], told["renewWithin"]) == (5, None)
        assert told["endsIn"] <= 39
        body["spec"]["drain"] = {"connectionsPerSecond": 700}
        await fleet.round()
        assert server.app.get_stats()["drain"]["rate"] == 700
        assert kubernetes.events == [] or kubernetes.events[0]["reason"] == "DrainSpedUp"

"""The operator rolls a fleet with clients onto a Redis Cluster and back: events pass between servers of both modes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.conftest import MANIFESTS, VALUES
from e2e.crowd import Crowd, Report
from e2e.inside import NAME, NumbersInside, Published
from e2e.kube import CHART, Fleet, Namespace
from e2e.outside import URL, make_sessions
from e2e.proof import everybody
from e2e.socketfleet import SERVERS, condition, events, operated, resource, with_operator
from kit.waiting import wait_until

CLIENTS = 200
CONFIG_MAP = "tradecast-adapter"
# Milliseconds before a client knows that it is gone, and after it has come until it is subscribed again.
BEFORE, AFTER = 2_000, 3_000
pytestmark = [pytest.mark.timeout(900), pytest.mark.long]


def values(mode: str) -> dict[str, Any]:
    """The fleet's, with a Redis Cluster and an operator that may roll it."""
    found = operated(redisAdapter={"apply": "roll", "mode": mode, "dwellSeconds": 10})
    found["redis"] = {**found["redis"], "clusterSecret": "tradecast-redis-cluster"}
    return found


@pytest.fixture
def rolled(settled: Fleet) -> Iterator[Fleet]:
    """The fleet in `pubsub`, with a Redis Cluster beside its Redis, and an operator that may roll it."""
    fleet = settled
    fleet.kubectl("apply", "-f", str(MANIFESTS / "redis_cluster.yaml"))
    fleet.kubectl("rollout", "status", "deployment/redis-cluster", "--timeout=120s")
    with with_operator(fleet, values("pubsub")):
        yield fleet
    fleet.upgrade(VALUES)
    fleet.kubectl("delete", "pod", NAME, "--ignore-not-found", "--grace-period=1")
    fleet.kubectl("delete", "configmap", CONFIG_MAP, "--ignore-not-found")
    fleet.kubectl("delete", "-f", str(MANIFESTS / "redis_cluster.yaml"))


def roll(fleet: Namespace, mode: str) -> None:
    """Ask for a mode, and wait until the fleet is in it and events go to one Redis again."""
    before = len(events(fleet, "AdapterModeRolled"))
    fleet.kubectl(
        "patch",
        "socketfleet",
        "tradecast",
        "--type=merge",
        "-p",
        json.dumps({"spec": {"redisAdapter": {"mode": mode}}}),
    )
    touched = 0

    def is_rolled() -> bool:
        nonlocal touched
        told = len(events(fleet, "AdapterModeRolling"))
        if told > touched:  # kubelets bring the ConfigMap into a pod that changes at once
            fleet.kubectl("annotate", "pods", "-l", SERVERS, "--overwrite", f"tradecast.dev/e2e-touched={time.time()}")
            touched = told
        return len(events(fleet, "AdapterModeRolled")) > before

    wait_until(is_rolled, 500, what=f"the fleet is rolled onto {mode}")
    wait_until(lambda: resource(fleet)["status"]["mode"] == mode, 30, what="the status says so")
    wait_until(lambda: condition(fleet, "AdapterTuned", "reason") == "InForce", 30, what="the condition says so")


def lost(report: Report, published: Published) -> list[tuple[int, float]]:
    """Numbers that a client never got though it was connected and subscribed when they were published."""
    found = []
    for client in report.clients:
        gone = [when for when, _ in client["disconnects"]]
        back = client["connects"][1:]
        away = [(one - BEFORE, other + AFTER) for one, other in zip(gone, back, strict=True)]
        for number in set(published.accepted).difference(client["seqs"]):
            when = published.accepted[number]
            if not any(begin <= when <= end for begin, end in away):
                found.append((number, when))
    return found


def test_a_fleet_is_rolled_onto_a_redis_cluster_and_back(rolled: Fleet) -> None:
    fleet = rolled
    wait_until(lambda: resource(fleet)["status"].get("mode") == "pubsub", what="the servers are in pubsub")
    with Crowd(URL) as crowd:
        crowd.add(make_sessions(CLIENTS), per_second=100)
        everybody(crowd)
        begun = time.time() * 1000
        numbers = NumbersInside(fleet)
        roll(fleet, "sharded")
        pods = {pod["metadata"]["uid"] for pod in fleet.servers()}
        # What the operator has written into the Deployment is no business of helm's.
        fleet.helm("upgrade", "tradecast", str(CHART), "--wait", "--timeout=180s", values=values("sharded"))
        assert {pod["metadata"]["uid"] for pod in fleet.servers()} == pods
        roll(fleet, "pubsub")
        everybody(crowd)
        published = numbers.published()
        wait_until(lambda: not lost(crowd.report(), published), 30, what="the last number is everywhere")
        report = crowd.report()
    print(f"\nmodes: {report.summary(list(published.accepted), begun)}")
    print("; ".join(events(fleet, "AdapterModeRolling", "AdapterModeRolled")))
    assert report.final == 0
    assert report.doubles == 0
    assert report.disorders == 0
    assert not lost(report, published)
    assert max(report.reconnects(begun)) <= 3
    assert not published.uncertain

"""What 300 stock clients go through when servers come and go."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from e2e.conftest import RATE
from e2e.crowd import Crowd
from e2e.kube import Fleet, run
from e2e.outside import URL, Numbers, make_sessions
from e2e.proof import everybody, finish
from kit.waiting import wait_until

CLIENTS = 300
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def crowd(fleet: Fleet) -> Iterator[Crowd]:
    """300 clients, connected and subscribed."""
    with Crowd(URL) as crowd:
        crowd.add(make_sessions(CLIENTS), per_second=100)
        everybody(crowd)
        yield crowd


def test_rolling_update(fleet: Fleet, crowd: Crowd) -> None:
    before = {pod["metadata"]["name"] for pod in fleet.servers()}
    begun = time.time() * 1000
    with Numbers() as numbers:
        # What another setting does, as in test_polling, but the release keeps its values for the tests to come.
        fleet.kubectl("rollout", "restart", "deployment/tradecast")
        fleet.kubectl("rollout", "status", "deployment/tradecast", "--timeout=180s")
        wait_until(
            lambda: not before & {pod["metadata"]["name"] for pod in fleet.get("pods")},
            within=180,
            what="the old servers are gone",
        )
        report = finish("rolling update", crowd, numbers, begun)
    assert max(report.reconnects(begun)) <= 2
    assert min(report.reconnects(begun)) >= 1
    # The pace holds for the whole fleet; stretches of 5 s, since packets arrive in clumps on a shared machine.
    assert report.busiest(5, begun) <= RATE * 1.3


def test_killed_pod(fleet: Fleet, crowd: Crowd) -> None:
    begun = time.time() * 1000
    victim = fleet.servers(ready=True)[0]
    container = victim["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    with Numbers() as numbers:
        # On the node, since nothing inside may send SIGKILL to a container's first process.
        node = victim["spec"]["nodeName"]
        run("docker", "exec", node, "ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", container)
        wait_until(lambda: any(client["disconnects"] for client in crowd.report().clients), what="clients have noticed")
        report = finish("killed pod", crowd, numbers, begun)
    hit = [count for count in report.reconnects(begun) if count]
    assert 0 < len(hit) < CLIENTS, "the other server's clients noticed nothing"
    assert max(hit) <= 2


@pytest.mark.long
def test_drained_node(fleet: Fleet, crowd: Crowd) -> None:
    begun = time.time() * 1000
    node = fleet.servers(ready=True)[0]["spec"]["nodeName"]
    with Numbers() as numbers:
        try:
            # Redis and MongoDB may have to move too; sessions would be lost with them, which is not what is tested.
            fleet.kubectl(
                "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=200s",
                "--pod-selector=app.kubernetes.io/name=tradecast",
            )  # fmt: skip
            assert all(pod["spec"]["nodeName"] != node for pod in fleet.servers())
        finally:
            fleet.kubectl("uncordon", node)
        report = finish("drained node", crowd, numbers, begun)
    assert max(report.reconnects(begun)) <= 2
    assert report.busiest(5, begun) <= RATE * 1.3


def test_redis_away_and_back(fleet: Fleet, crowd: Crowd) -> None:
    """Sessions are in MongoDB: nobody is sent away, and every event that Redis took is everywhere, before and after."""
    begun = time.time() * 1000
    restarts = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in fleet.servers()]
    with Numbers() as numbers:
        wait_until(lambda: len(numbers.accepted) > 10, what="events flow")
        fleet.kubectl("scale", "deployment/redis", "--replicas=0")
        fleet.kubectl("wait", "--for=delete", "pod", "-l", "app=redis", "--timeout=60s")
        assert crowd.report().connected == CLIENTS
        fleet.kubectl("scale", "deployment/redis", "--replicas=1")
        fleet.kubectl("rollout", "status", "deployment/redis", "--timeout=60s")
        before = len(numbers.accepted)
        wait_until(lambda: len(numbers.accepted) > before + 10, within=60, what="events flow again")
        report = finish("Redis away", crowd, numbers, begun)
    assert sum(report.reconnects(begun)) == 0
    assert restarts == [pod["status"]["containerStatuses"][0]["restartCount"] for pod in fleet.servers()]

"""The operator with a fleet that has clients: it scales, drains, evens out, and loses nobody anything."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.crowd import Crowd
from e2e.fleet_clients import CLIENTS, connections, crowded, spread
from e2e.kube import CommandFailed, Fleet
from e2e.outside import URL, Numbers, make_sessions
from e2e.proof import everybody, finish
from e2e.socketfleet import RATE, SERVERS, events, operated, replicas, resource, with_operator
from kit.waiting import wait_until

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def fleet_with_operator(settled: Fleet) -> Iterator[Fleet]:
    with with_operator(settled, operated()):
        yield settled


def test_a_fleet_grows_is_rebalanced_and_shrinks_though_its_operator_is_killed(fleet_with_operator: Fleet) -> None:
    """One crowd of clients goes through all of it."""
    fleet = fleet_with_operator
    with crowded(fleet, 2) as crowd, Numbers() as numbers:
        begun = time.time() * 1000
        grow(fleet, crowd, begun)
        shrink(fleet, crowd, time.time() * 1000)
        shrink(fleet, crowd, time.time() * 1000, is_operator_killed=True)
        finish("grown, evened out, shrunk", crowd, numbers, begun)


def grow(fleet: Fleet, crowd: Crowd, begun: float) -> None:
    """From two servers to four, which get their share of the clients."""
    fleet.kubectl("scale", "socketfleet/tradecast", "--replicas=4")
    wait_until(lambda: len(fleet.servers(ready=True)) == 4, 120, what="four servers")
    assert spread(fleet) > 1.25
    wait_until(lambda: spread(fleet) < 1.25, 240, what="they are even")
    wait_until(lambda: crowd.report().quiet > 3, what="the last portion has moved")
    report = everybody(crowd)
    print(f"\ngrown: {report.summary(since=begun)}")
    print(f"connections: {sorted(connections(fleet).values())}; {'; '.join(events(fleet, 'Rebalancing'))}")
    assert events(fleet, "Rebalancing")
    assert report.busiest(5, begun) <= RATE * 1.3
    # Half of them have to move; one in four comes back to where it was, and what was too many comes back too.
    assert sum(report.reconnects(begun)) < 1.5 * CLIENTS


def shrink(fleet: Fleet, crowd: Crowd, begun: float, *, is_operator_killed: bool = False) -> None:
    """By one server: by the one with the fewest clients, if the operator lives long enough to choose."""
    before, failed = connections(fleet), crowd.report().errors
    left = len(before) - 1
    fleet.kubectl("scale", "socketfleet/tradecast", f"--replicas={left}")
    if is_operator_killed:
        wait_until(lambda: fleet.get("pods", "-l", "tradecast.dev/draining=true"), what="a drain")
        fleet.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force")
    wait_until(lambda: replicas(fleet) == len(fleet.get("pods", "-l", SERVERS)) == left, 180, what=f"{left} servers")
    report = everybody(crowd)
    staying = {pod["metadata"]["name"] for pod in fleet.servers()}
    (gone,) = [count for name, count in before.items() if name not in staying]
    print(f"\nshrunk: {report.summary(since=begun)}")
    print(f"connections before: {sorted(before.values())}; of the one that went: {gone}")
    assert gone == min(before.values())
    assert report.busiest(5, begun) <= RATE * 1.3
    assert sum(count > 0 for count in report.reconnects(begun)) >= gone
    assert max(report.reconnects(begun)) <= 2
    assert report.errors == failed, "nobody meets a server that has stopped accepting"
    for reason in ("Draining", "Drained", "ScaledDown"):
        assert events(fleet, reason)
    assert not events(fleet, "DrainOverdue")


@pytest.mark.long
def test_a_drain_is_cancelled_by_a_new_need(fleet_with_operator: Fleet) -> None:
    fleet = fleet_with_operator
    with crowded(fleet, 3) as crowd:
        fleet.kubectl("scale", "socketfleet/tradecast", "--replicas=2")
        wait_until(lambda: fleet.get("pods", "-l", "tradecast.dev/draining=true"), what="a drain")
        fleet.kubectl("scale", "socketfleet/tradecast", "--replicas=3")
        wait_until(lambda: len(fleet.servers(ready=True)) == 3, 60, what="all take clients again")
        wait_until(lambda: not fleet.get("pods", "-l", "tradecast.dev/draining=true"), what="no pod is marked")
        assert replicas(fleet) == 3
        assert events(fleet, "DrainCancelled")
        everybody(crowd)
        assert crowd.report().final == 0


@pytest.mark.long
def test_replicas_changed_by_hand_are_put_right(fleet_with_operator: Fleet) -> None:
    fleet = fleet_with_operator
    fleet.kubectl("scale", "deployment/tradecast", "--replicas=1")
    wait_until(lambda: replicas(fleet) == 2, 60, what="two replicas")
    fleet.kubectl("scale", "deployment/tradecast", "--replicas=4")
    wait_until(lambda: replicas(fleet) == 2, 120, what="two replicas")


def test_the_fleet_outlives_its_resource(fleet_with_operator: Fleet) -> None:
    fleet = fleet_with_operator
    before = {pod["metadata"]["uid"] for pod in fleet.servers()}
    manifest = resource(fleet)
    fleet.kubectl("delete", "socketfleet", "tradecast", "--timeout=60s")
    assert {pod["metadata"]["uid"] for pod in fleet.servers()} == before
    for key in ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"):
        manifest["metadata"].pop(key, None)
    del manifest["status"], manifest["spec"]["replicas"]
    # As helm, whose it stays: upgrades by others would be conflicts.
    fleet.kubectl("apply", "--server-side", "--field-manager=helm", "-f", "-", stdin=json.dumps(manifest))
    wait_until(lambda: resource(fleet)["spec"].get("replicas") == 2, 60, what="the operator has filled in the replicas")
    assert {pod["metadata"]["uid"] for pod in fleet.servers()} == before


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"minReplicas": 5, "maxReplicas": 3}, "minReplicas must not be above maxReplicas"),
    ({"replicas": 0}, "spec.replicas"),
    ({"rebalance": {"thresholdPercent": 100}}, "thresholdPercent"),
    ({"drain": {"connectionsPerSecond": "many"}}, "connectionsPerSecond"),
    ({"deployment": "another"}, "deployment cannot be changed"),
    (
        {"maxReplicas": 3, "redisAdapter": {"apply": "roll", "mode": "single"}},
        "with mode single requires maxReplicas 1",
    ),
]


def test_what_is_invalid_is_refused(fleet_with_operator: Fleet) -> None:
    for spec, said in WRONG:
        with pytest.raises(CommandFailed, match=said):
            fleet_with_operator.kubectl(
                "patch", "socketfleet", "tradecast", "--type=merge", "-p", json.dumps({"spec": spec})
            )


@pytest.mark.long
def test_the_autoscaler_and_the_operator_do_not_fight(fleet_with_operator: Fleet) -> None:
    fleet = fleet_with_operator
    values = operated(metric={"holdSeconds": 15})
    values["autoscaling"] |= {
        "mode": "keda",
        "maxReplicas": 4,
        "connectionsPerReplica": 150,
        "scaleDown": {"stabilizationSeconds": 10, "podsPerPeriod": 2, "periodSeconds": 15},
        "scaleUp": {"periodSeconds": 15},
        "keda": {"pollingIntervalSeconds": 5},
    }
    fleet.upgrade(values)
    wait_until(
        lambda: "connections" in str(fleet.get("horizontalpodautoscalers")), 120, what="the autoscaler has the number"
    )
    before = len(events(fleet, "ScaledUp", "ScaledDown"))
    with Crowd(URL) as crowd:
        crowd.add(make_sessions(60))
        everybody(crowd)
        assert replicas(fleet) == 2
        crowd.add(make_sessions(540), per_second=100)
        everybody(crowd)
        begun = time.time() * 1000
        with Numbers() as numbers:
            wait_until(lambda: replicas(fleet) == len(fleet.servers(ready=True)) == 4, 180, what="the fleet grew to 4")
            crowd.leave(540)
            wait_until(
                lambda: replicas(fleet) == len(fleet.get("pods", "-l", SERVERS)) == 2,
                300,
                what="the fleet is back at 2",
            )
            report = finish("autoscaler and operator", crowd, numbers, begun)
    assert report.connected == 60
    writes = events(fleet, "ScaledUp", "ScaledDown")[before:]
    print("; ".join(writes))
    assert len(writes) <= 4, writes

"""The operator with a fleet that has clients: it scales, drains, evens out, and loses nobody anything."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.crowd import Crowd
from e2e.kube import CHART, CommandFailed, Namespace, api_proxy
from e2e.outside import URL, Numbers, make_sessions
from e2e.proof import everybody, finish
from e2e.socketfleet import RATE, SERVERS, events, operated, replicas, resource, with_operator
from kit.waiting import wait_until

CLIENTS = 400
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def fleet_with_operator(fleet: Namespace) -> Iterator[Namespace]:
    with with_operator(fleet, operated()):
        yield fleet


@contextlib.contextmanager
def crowded(fleet: Namespace, servers: int) -> Iterator[Crowd]:
    """So many servers, with clients on all of them."""
    fleet.kubectl("scale", "socketfleet/tradecast", f"--replicas={servers}")
    wait_until(lambda: len(fleet.servers(ready=True)) == replicas(fleet) == servers, 180, what=f"{servers} servers")
    with Crowd(URL) as crowd:
        crowd.add(make_sessions(CLIENTS), per_second=100)
        everybody(crowd)
        yield crowd


def connections(fleet: Namespace) -> dict[str, int]:
    """Of each ready server, by its own metrics."""
    found = {}
    with api_proxy() as api:
        for pod in fleet.servers(ready=True):
            name = pod["metadata"]["name"]
            text = fleet.metrics(api, name) or ""
            lines = [
                line
                for line in text.splitlines()
                if line.startswith(("tradecast_connections{", "tradecast_connections "))
            ]
            found[name] = round(sum(float(line.rpartition(" ")[2]) for line in lines))
    return found


def spread(fleet: Namespace) -> float:
    counts = connections(fleet).values()
    return max(counts) * len(counts) / sum(counts)


def test_a_fleet_that_grows_is_evened_out(fleet_with_operator: Namespace) -> None:
    fleet = fleet_with_operator
    with crowded(fleet, 2) as crowd, Numbers() as numbers:
        begun = time.time() * 1000
        fleet.kubectl("scale", "socketfleet/tradecast", "--replicas=4")
        wait_until(lambda: len(fleet.servers(ready=True)) == 4, 120, what="four servers")
        assert spread(fleet) > 1.25
        wait_until(lambda: spread(fleet) < 1.25, 240, what="they are even")
        report = finish("scale-up and rebalance", crowd, numbers, begun)
        print(f"connections: {sorted(connections(fleet).values())}; {'; '.join(events(fleet, 'Rebalancing'))}")
    assert events(fleet, "Rebalancing")
    assert report.busiest(5, begun) <= RATE * 1.3
    # Half of them have to move; one in four comes back to where it was, and what was too many comes back too.
    assert sum(report.reconnects(begun)) < 1.5 * CLIENTS


def test_a_full_fleet_shrinks_by_its_emptiest(fleet_with_operator: Namespace) -> None:
    fleet = fleet_with_operator
    with crowded(fleet, 4) as crowd, Numbers() as numbers:
        before = connections(fleet)
        begun = time.time() * 1000
        fleet.kubectl("scale", "socketfleet/tradecast", "--replicas=2")
        wait_until(lambda: replicas(fleet) == len(fleet.get("pods", "-l", SERVERS)) == 2, 180, what="two servers")
        report = finish("scale-down", crowd, numbers, begun)
    left = {pod["metadata"]["name"] for pod in fleet.servers()}
    gone = {name: count for name, count in before.items() if name not in left}
    print(f"connections before: {sorted(before.values())}; of those that went: {sorted(gone.values())}")
    assert max(gone.values()) <= min(before[name] for name in left)
    assert report.busiest(5, begun) <= RATE * 1.3
    assert sum(count > 0 for count in report.reconnects(begun)) >= sum(gone.values())
    assert max(report.reconnects(begun)) <= 2
    for reason in ("Draining", "Drained", "ScaledDown"):
        assert events(fleet, reason)
    assert not events(fleet, "DrainOverdue")


def test_an_operator_that_is_killed_goes_on_where_it_was(fleet_with_operator: Namespace) -> None:
    fleet = fleet_with_operator
    with crowded(fleet, 3) as crowd, Numbers() as numbers:
        begun = time.time() * 1000
        fleet.kubectl("scale", "socketfleet/tradecast", "--replicas=2")
        wait_until(lambda: fleet.get("pods", "-l", "tradecast.dev/draining=true"), what="a drain")
        fleet.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force")
        wait_until(lambda: replicas(fleet) == len(fleet.get("pods", "-l", SERVERS)) == 2, 180, what="two servers")
        finish("operator killed", crowd, numbers, begun)


@pytest.mark.long
def test_a_drain_is_cancelled_by_a_new_need(fleet_with_operator: Namespace) -> None:
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
def test_replicas_changed_by_hand_are_put_right(fleet_with_operator: Namespace) -> None:
    fleet = fleet_with_operator
    fleet.kubectl("scale", "deployment/tradecast", "--replicas=1")
    wait_until(lambda: replicas(fleet) == 2, 60, what="two replicas")
    fleet.kubectl("scale", "deployment/tradecast", "--replicas=4")
    wait_until(lambda: replicas(fleet) == 2, 120, what="two replicas")


def test_the_fleet_outlives_its_resource(fleet_with_operator: Namespace) -> None:
    fleet = fleet_with_operator
    before = {pod["metadata"]["uid"] for pod in fleet.servers()}
    manifest = resource(fleet)
    fleet.kubectl("delete", "socketfleet", "tradecast", "--timeout=20s")
    assert {pod["metadata"]["uid"] for pod in fleet.servers()} == before
    for key in ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"):
        manifest["metadata"].pop(key, None)
    del manifest["status"], manifest["spec"]["replicas"]
    fleet.apply(manifest)
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


def test_what_makes_no_sense_is_refused(fleet_with_operator: Namespace) -> None:
    for spec, said in WRONG:
        with pytest.raises(CommandFailed, match=said):
            fleet_with_operator.kubectl(
                "patch", "socketfleet", "tradecast", "--type=merge", "-p", json.dumps({"spec": spec})
            )


@pytest.mark.long
def test_the_autoscaler_and_the_operator_do_not_fight(fleet_with_operator: Namespace) -> None:
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
    fleet.helm("upgrade", "tradecast", str(CHART), "--wait", "--timeout=180s", values=values)
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

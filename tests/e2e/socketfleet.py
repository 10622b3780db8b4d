"""A fleet with the operator, as a person sees it: its values, the SocketFleet, its conditions and events."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from e2e.conftest import VALUES, settle
from e2e.kube import Fleet, Namespace
from kit.waiting import wait_until

RATE = 40
"""Connections per second that the operator sends away."""
SERVERS = "app.kubernetes.io/component=server"


def operated(**operator: Any) -> dict[str, Any]:
    """The fleet's values with the operator, in a hurry."""
    values = copy.deepcopy(VALUES)
    values["operator"] = {
        "enabled": True,
        "upgradeCRD": False,  # test_operator_install has it
        "roundSeconds": 1,
        "fleet": {
            "drain": {"connectionsPerSecond": RATE, "timeoutSeconds": 120},
            "rebalance": {
                "minPodAgeSeconds": 5,
                "quietSeconds": 5,
                "connectionsPerSecond": RATE,
                "acceptPerSecond": RATE,
            },
            "rollout": {"trial": {"seconds": 0}},  # rollouts take as long as they need
            **operator,
        },
    }
    values["autoscaling"] = {"minReplicas": 2, "maxReplicas": 6}
    return values


@contextlib.contextmanager
def with_operator(fleet: Fleet, values: dict[str, Any]) -> Iterator[Fleet]:
    """The fleet of two with the operator. It stays for tests to come; afterwards there are two servers again."""
    fleet.upgrade(values)
    # Pods of before may still drain: whoever connects to one of them is moved.
    settle(fleet)
    wait_until(lambda: looked_after(fleet), what="the operator looks after it")
    yield fleet
    fleet.kubectl("scale", "socketfleet/tradecast", "--replicas=2")
    wait_until(lambda: replicas(fleet) == 2, 180, what="two replicas")


def replicas(fleet: Namespace) -> int:
    return int(fleet.one("deployment", "tradecast")["spec"]["replicas"])


def resource(fleet: Namespace) -> dict[str, Any]:
    return fleet.one("socketfleet", "tradecast")


def condition(fleet: Namespace, kind: str, what: str = "status") -> str:
    found = [one[what] for one in resource(fleet).get("status", {}).get("conditions", []) if one["type"] == kind]
    return str(found[0]) if found else ""


def looked_after(fleet: Namespace) -> bool:
    """Whether an operator has seen enough servers."""
    return condition(fleet, "Available") == "True"


def events(fleet: Namespace, *reasons: str) -> list[str]:
    """Messages of the SocketFleet's events, the oldest first."""
    found = fleet.get("events", "--field-selector=involvedObject.kind=SocketFleet", "--sort-by=.lastTimestamp")
    return [one["message"] for one in found if one["reason"] in reasons]

"""KEDA and the HorizontalPodAutoscaler follow the number of connections."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.conftest import VALUES
from e2e.crowd import Crowd
from e2e.kube import CHART, Fleet, Namespace
from e2e.outside import URL, make_sessions
from e2e.socketfleet import replicas
from kit.waiting import wait_until

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def autoscaled(prometheus: None, settled: Fleet) -> Iterator[Fleet]:
    """The fleet with a Prometheus and the ScaledObject, afterwards two servers without it."""
    settled.upgrade(autoscaling())
    yield settled
    settled.upgrade(VALUES)
    settled.kubectl("scale", "deployment/tradecast", "--replicas=2")


def autoscaling() -> dict[str, Any]:
    values = copy.deepcopy(VALUES)
    values["autoscaling"] = {
        "mode": "keda",
        "minReplicas": 2,
        "maxReplicas": 4,
        "connectionsPerReplica": 150,
        "scaleDown": {"stabilizationSeconds": 10, "podsPerPeriod": 2, "periodSeconds": 15},
        "scaleUp": {"periodSeconds": 15},
        "keda": {
            "pollingIntervalSeconds": 5,
            "prometheus": {"serverAddress": "http://prometheus.fleet.svc:9090"},
            # Three servers, but for the last minute of a year.
            "triggers": [
                {
                    "type": "cron",
                    "name": "opening",
                    "metadata": {
                        "timezone": "America/New_York",
                        "start": "0 0 1 1 *",
                        "end": "59 23 31 12 *",
                        "desiredReplicas": 3,
                    },
                }
            ],
        },
    }
    return values


def is_blind(namespace: Namespace) -> bool:
    """Whether the autoscaler lacks a reading, and so does nothing."""
    conditions = namespace.one("hpa", "tradecast").get("status", {}).get("conditions", [])
    return any(
        condition["type"] == "ScalingActive"
        and condition["status"] == "False"
        and condition["reason"] == "FailedGetExternalMetric"
        for condition in conditions
    )


def test_connections_scale_the_fleet_out_and_in_and_no_readings_never_shrink_it(autoscaled: Fleet) -> None:
    with Crowd(URL) as crowd:
        crowd.add(make_sessions(60))
        wait_until(lambda: crowd.report().subscribed == 60, what="60 clients")
        wait_until(lambda: replicas(autoscaled) == 3, 120, what="the cron trigger's three servers")
        crowd.add(make_sessions(540))
        wait_until(lambda: crowd.report().subscribed == 600, what="600 clients")
        wait_until(
            lambda: replicas(autoscaled) == 4 and len(autoscaled.servers(ready=True)) == 4,
            180,
            what="the fleet grew to 4",
        )

        # Without a reading of the connections the number stays, also when nearly everybody leaves, and although the
        # cron trigger can be read, which asks for fewer.
        assert "fallback" not in autoscaled.one("scaledobject", "tradecast")["spec"]
        autoscaled.kubectl("scale", "deployment/prometheus", "--replicas=0")
        crowd.leave(540)
        wait_until(lambda: is_blind(autoscaled), 180, what="the autoscaler has no reading")
        assert replicas(autoscaled) == 4

        autoscaled.kubectl("scale", "deployment/prometheus", "--replicas=1")
        wait_until(lambda: replicas(autoscaled) == 3, 300, what="the fleet is back at the cron trigger's three")
        wait_until(lambda: crowd.report().connected == 60, what="everybody stayed or came back")
        assert crowd.report().final == 0


def test_switching_autoscaling_off_and_on_keeps_the_number(autoscaled: Fleet) -> None:
    autoscaled.kubectl("scale", "deployment/tradecast", "--replicas=3")
    values = autoscaling()
    values["autoscaling"] = {"mode": "none"}
    autoscaled.upgrade(values)
    assert replicas(autoscaled) == 3
    # Once more, with nothing changed.
    autoscaled.helm("upgrade", "tradecast", str(CHART), "--wait", "--timeout=180s", values=values)
    assert replicas(autoscaled) == 3
    values = autoscaling()
    values["autoscaling"]["minReplicas"] = 3
    autoscaled.upgrade(values)
    assert replicas(autoscaled) == 3

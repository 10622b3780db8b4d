"""A cluster is there (`make e2e`); a fleet as in production for most tests."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.kube import CHART, Namespace, run
from kit.waiting import wait_until
from tradecast.observability.logs import configure_logging

MANIFESTS = Path(__file__).with_name("manifests")
PROMETHEUS_URL = "http://127.0.0.1:30090"
RATE = 40
"""Connections per second that the fleet sends away."""

VALUES: dict[str, Any] = {
    "mode": "production",
    "replicaCount": 2,
    "service": {"type": "NodePort", "nodePort": 30080},
    "redis": {"bundled": {"enabled": False}, "existingSecret": "tradecast-redis"},
    "mongodb": {"existingSecret": "tradecast-mongodb"},
    "tokens": {"existingSecret": "tradecast-tokens"},
    "drain": {"delaySeconds": 3, "connectionsPerSecond": RATE, "timeoutSeconds": 60, "shutdownSeconds": 5},
    "server": {
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
    },
}


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """The nodes are ready."""
    configure_logging("error", "console")
    run("kubectl", "wait", "--for=condition=Ready", "node", "--all", "--timeout=60s")


def make_fleet(name: str) -> Namespace:
    """A namespace with Redis, MongoDB and a fleet of two servers at http://127.0.0.1:30080."""
    namespace = Namespace(name)
    namespace.kubectl("apply", "-f", str(MANIFESTS / "backing.yaml"))
    namespace.kubectl("rollout", "status", "deployment/redis", "deployment/mongo", "--timeout=120s")
    namespace.helm("install", "tradecast", str(CHART), "--wait", "--timeout=180s", values=VALUES)
    return namespace


@pytest.fixture(scope="session")
def fleet_namespace() -> Iterator[Namespace]:
    namespace = make_fleet("fleet")
    yield namespace
    namespace.delete()


@pytest.fixture
def fleet(fleet_namespace: Namespace, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """The fleet with two ready servers, before and after. When a test fails, its report has the pods' logs."""
    settle(fleet_namespace)
    failed_before = request.session.testsfailed
    yield fleet_namespace
    if request.session.testsfailed > failed_before:
        print(fleet_namespace.logs())
    settle(fleet_namespace)


@pytest.fixture
def monitored(fleet: Namespace) -> Iterator[Namespace]:
    """The fleet, scraped every two seconds by a Prometheus that has the chart's alerts."""
    fleet.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "alerts"},
            "data": {"alerts.yaml": (CHART / "files" / "alerts.yaml").read_text(encoding="utf-8")},
        }
    )
    fleet.kubectl("apply", "-f", str(MANIFESTS / "prometheus.yaml"))
    fleet.kubectl("rollout", "status", "deployment/prometheus", "--timeout=120s")
    # The Service follows the pod by a moment.
    wait_until(lambda: answers(f"{PROMETHEUS_URL}/-/ready"), what="Prometheus answers")
    yield fleet
    fleet.kubectl("delete", "-f", str(MANIFESTS / "prometheus.yaml"), "--wait=true")
    fleet.kubectl("delete", "configmap", "alerts")


def answers(url: str) -> bool:
    """Whether an address answers with 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 a test's own address
            return True
    except OSError:
        return False


def settle(namespace: Namespace) -> None:
    """Wait until there are two servers, both ready, and none that ends."""
    wait_until(
        lambda: (
            len(namespace.servers(ready=True))
            == len(namespace.get("pods", "-l", "app.kubernetes.io/component=server"))
            == 2
        ),
        within=180,
        what="two ready servers and no other",
    )

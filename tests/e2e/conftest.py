"""A cluster is there (`make e2e`); a fleet as in production for most tests."""

from __future__ import annotations

import contextlib
import secrets
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.kube import CHART, Fleet, Namespace, run
from e2e.outside import SHARED as SHARED_PORTS
from e2e.outside import Ports
from kit.waiting import wait_until
from tradecast.observability.logs import configure_logging

MANIFESTS = Path(__file__).with_name("manifests")
PROMETHEUS_URL = "http://127.0.0.1:30090"
RATE = 40
"""Connections per second that the fleet sends away."""

VALUES: dict[str, Any] = {
    "mode": "production",
    "replicaCount": 2,
    "service": {"type": "NodePort", "nodePort": SHARED_PORTS.servers},
    "redis": {"bundled": {"enabled": False}, "existingSecret": "tradecast-redis"},
    "mongodb": {"existingSecret": "tradecast-mongodb"},
    "tokens": {"existingSecret": "tradecast-tokens"},
    "drain": {"delaySeconds": 5, "connectionsPerSecond": RATE, "timeoutSeconds": 60, "shutdownSeconds": 5},
    "server": {
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
    },
}


# What all of the cluster's tests share, or see: nothing may run beside a test that has one of these.
SHARED = {"release", "older_crd"}
# What takes longest. Where tests run beside each other, those begin first, each in another worker.
LONGEST = ("tuned", "place", "three", "demo")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if SHARED & fixtures(item):
            item.add_marker(pytest.mark.serial)
    workers = getattr(config, "workerinput", {}).get("workercount")
    if workers:  # each gets a part of the list, one after the other
        left = [item for item in items if item.get_closest_marker("serial") is None]
        left.sort(key=lambda item: [name not in fixtures(item) for name in LONGEST])
        items[:] = [item for worker in range(workers) for item in left[worker::workers]]


def fixtures(item: pytest.Item) -> set[str]:
    """The names of a test's fixtures, direct and indirect ones."""
    return set(item.fixturenames) if isinstance(item, pytest.Function) else set()


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """The nodes are ready."""
    configure_logging("error", "console")
    run("kubectl", "wait", "--for=condition=Ready", "node", "--all", "--timeout=60s")


def with_backing(name: str, ports: Ports) -> Fleet:
    """A namespace with what a fleet needs: Redis and MongoDB at these ports, and Secrets that say where they are."""
    made = Fleet(name)
    backing = (MANIFESTS / "backing.yaml").read_text(encoding="utf-8")
    for ours, theirs in ((ports.redis, SHARED_PORTS.redis), (ports.mongodb, SHARED_PORTS.mongodb)):
        backing = backing.replace(f"nodePort: {theirs}", f"nodePort: {ours}")
    made.kubectl("apply", "-f", "-", stdin=backing)
    made.kubectl("rollout", "status", "deployment/redis", "deployment/mongo", "--timeout=120s")
    return made


@contextlib.contextmanager
def own_fleet(name: str, ports: Ports, values: dict[str, Any]) -> Iterator[Fleet]:
    """A fleet for one test, beside which others may run. When the test fails, its report has the pods' logs."""
    fleet = with_backing(f"{name}-{secrets.token_hex(2)}", ports)
    try:
        fleet.upgrade({**values, "service": {"type": "NodePort", "nodePort": ports.servers}})
        yield fleet
    except BaseException:
        print(fleet.logs())
        raise
    finally:
        fleet.delete()


@pytest.fixture(scope="session")
def release() -> Iterator[Fleet]:
    """A namespace with Redis, MongoDB and a fleet of two servers at http://127.0.0.1:30080."""
    # Of a run before, on a cluster that was kept.
    run("kubectl", "delete", "namespace", "fleet", "--ignore-not-found", "--wait=true")
    made = with_backing("fleet", SHARED_PORTS)
    made.upgrade(VALUES)
    yield made
    made.delete()


@pytest.fixture
def settled(release: Fleet, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """The fleet with two ready servers, before and after. When a test fails, its report has the pods' logs."""
    settle(release)
    failed_before = request.session.testsfailed
    yield release
    if request.session.testsfailed > failed_before:
        print(release.logs())
    settle(release)


@pytest.fixture
def fleet(settled: Fleet) -> Fleet:
    """The same, and nobody but a test changes the number of servers: no operator, no autoscaler."""
    if settled.values.keys() & {"operator", "autoscaling"}:
        settled.upgrade(VALUES)
        settle(settled)
    return settled


@pytest.fixture(scope="module")
def prometheus(release: Fleet) -> Iterator[None]:
    """A Prometheus with the chart's alerts that scrapes the fleet every two seconds, for the tests of one module."""
    release.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "alerts"},
            "data": {"alerts.yaml": (CHART / "files" / "alerts.yaml").read_text(encoding="utf-8")},
        }
    )
    release.kubectl("apply", "-f", str(MANIFESTS / "prometheus.yaml"))
    release.kubectl("rollout", "status", "deployment/prometheus", "--timeout=120s")
    # The Service follows the pod by a moment.
    wait_until(lambda: answers(f"{PROMETHEUS_URL}/-/ready"), what="Prometheus answers")
    yield
    release.kubectl("delete", "-f", str(MANIFESTS / "prometheus.yaml"), "--wait=true")
    release.kubectl("delete", "configmap", "alerts")


@pytest.fixture
def monitored(prometheus: None, fleet: Fleet) -> Fleet:
    """The fleet with that Prometheus."""
    return fleet


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

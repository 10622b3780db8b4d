"""The operator's life in a release: switched on and off while servers run, its CRD brought up to date, its scope."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import yaml

from e2e.kube import CHART, ROOT, CommandFailed, Namespace, api_proxy, run, temporary
from e2e.socketfleet import SERVERS, looked_after, replicas
from kit.waiting import wait_until

CRDS = CHART / "crds"
CRD = "socketfleets.tradecast.dev"
BY_HAND = "kubectl apply --server-side --field-manager=helm --force-conflicts -f charts/tradecast/crds/"
TOKENS = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "tokens"},
    "stringData": {"ADMIN_TOKEN": "operators-token", "API_TOKEN": "publishers-token"},
}
WITHOUT: dict[str, Any] = {
    "tokens": {"existingSecret": "tokens"},
    "drain": {"delaySeconds": 0, "timeoutSeconds": 10, "shutdownSeconds": 1},
    "autoscaling": {"minReplicas": 2, "maxReplicas": 6},
    "operator": {"roundSeconds": 1},
}
pytestmark = pytest.mark.timeout(900)
long = pytest.mark.long


def operated(values: dict[str, Any], **operator: Any) -> dict[str, Any]:
    """The same with the operator."""
    return {**values, "operator": {**values["operator"], "enabled": True, **operator}}


def autoscaled(values: dict[str, Any]) -> dict[str, Any]:
    """The same with KEDA, which asks a Prometheus that is not there, or the operator."""
    found = copy.deepcopy(values)
    found["autoscaling"] |= {"mode": "keda", "keda": {"prometheus": {"serverAddress": "http://nobody:9090"}}}
    return found


@contextlib.contextmanager
def with_tokens(name: str) -> Iterator[Namespace]:
    """A namespace for one test that has the tokens."""
    with temporary(name) as made:
        made.apply(TOKENS)
        yield made


@pytest.fixture
def place() -> Iterator[Namespace]:
    with with_tokens("lease-install") as made:
        yield made


def helm(place: Namespace, command: str, values: dict[str, Any], program: str = "helm", *more: str) -> str:
    """What helm says."""
    return place.helm(
        command, "tradecast", str(CHART), "--wait", "--timeout=180s", *more, values=values, program=program
    )


def uids(place: Namespace) -> set[str]:
    return {pod["metadata"]["uid"] for pod in place.get("pods", "-l", SERVERS)}


def has(place: Namespace, servers: int) -> bool:
    return len(place.servers(ready=True)) == len(uids(place)) == replicas(place) == servers


def scaled_to_three(place: Namespace, values: dict[str, Any], program: str) -> set[str]:
    """A release whose chart says two servers, and which has three; their uids."""
    helm(place, "install", values, program)
    place.kubectl("scale", "deployment/tradecast", "--replicas=3")
    wait_until(lambda: len(place.servers(ready=True)) == 3, what="three servers")
    return uids(place)


@pytest.mark.parametrize(
    ("autoscaling", "program"),
    [
        ("none", "helm"),
        pytest.param("none", "helm3", marks=long),
        pytest.param("keda", "helm", marks=long),
        pytest.param("keda", "helm3", marks=long),
    ],
)
def test_switched_on_and_off_the_servers_stay(place: Namespace, autoscaling: str, program: str) -> None:
    values = WITHOUT if autoscaling == "none" else autoscaled(WITHOUT)
    before = scaled_to_three(place, values, program)
    for now in (operated(values), operated(values, roundSeconds=2), values, values):
        helm(place, "upgrade", now, program)
        if now.get("operator", {}).get("enabled"):
            wait_until(lambda: looked_after(place), what="the operator looks after it")
            assert place.one("socketfleet", "tradecast")["spec"]["replicas"] == 3
        assert replicas(place) == 3
        assert uids(place) == before
    assert not place.get("socketfleets")


@long
def test_an_upgrade_keeps_what_a_person_has_scaled(place: Namespace) -> None:
    helm(place, "install", operated(WITHOUT))
    place.kubectl("scale", "socketfleet/tradecast", "--replicas=3")
    wait_until(lambda: len(place.servers(ready=True)) == 3, what="three servers")
    before = uids(place)
    helm(place, "upgrade", operated(WITHOUT, roundSeconds=2))
    assert place.one("socketfleet", "tradecast")["spec"]["replicas"] == 3
    assert uids(place) == before


def test_a_drain_that_nobody_renews_ends(place: Namespace) -> None:
    """The operator goes in the middle of a drain, and with it all that could cancel the drain."""
    values = copy.deepcopy(WITHOUT)
    # A server that drains counts as ready for so long that its pod is not deleted before the operator is.
    values["server"] = {"containerSpec": {"readinessProbe": {"periodSeconds": 5, "failureThreshold": 4}}}
    before = scaled_to_three(place, values, "helm")
    helm(place, "upgrade", operated(values))
    wait_until(lambda: looked_after(place), what="the operator looks after it")
    place.kubectl("scale", "socketfleet/tradecast", "--replicas=2")
    (pod,) = wait_until(lambda: place.get("pods", "-l", "tradecast.dev/draining=true"), what="a drain")
    place.kubectl("delete", "deployment", "tradecast-operator", "--grace-period=0", "--force")
    name = pod["metadata"]["name"]
    wait_until(lambda: name not in ready_names(place), 60, what="it is out of service")
    place.helm("upgrade", "tradecast", str(CHART), values=values)
    assert replicas(place) == 3
    wait_until(lambda: len(ready_names(place)) == 3, 200, what="it is in service again by itself")
    assert uids(place) == before
    with api_proxy() as api:
        assert re.search(r"^tradecast_drains_expired_total 1", place.metrics(api, name) or "", re.MULTILINE)


def ready_names(place: Namespace) -> set[str]:
    return {pod["metadata"]["name"] for pod in place.servers(ready=True)}


# A field that an earlier release may not have had, and that the chart does not write: Helm 4 refuses to install what
# the cluster's CRD does not know.
FIELD = "quietSeconds"


def fields_of(definition: Any) -> dict[str, Any]:
    """Of a SocketFleet's spec.rebalance."""
    (version,) = definition["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    found: dict[str, Any] = spec["properties"]["rebalance"]["properties"]
    return found


def fields() -> set[str]:
    """The same, as the cluster has them."""
    return set(fields_of(yaml.safe_load(run("kubectl", "get", "crd", CRD, "-o", "yaml"))))


@pytest.fixture
def older_crd() -> Iterator[set[str]]:
    """The cluster has the CRD as it may have been once; the fields of today."""
    (path,) = CRDS.glob("*.yaml")
    definition = yaml.safe_load(path.read_text(encoding="utf-8"))
    today = set(fields_of(definition))
    del fields_of(definition)[FIELD]
    apply = ("kubectl", "apply", "--server-side", "--field-manager=helm", "--force-conflicts", "-f")
    run(*apply, "-", stdin=yaml.safe_dump(definition))
    try:
        yield today
    finally:
        run(*apply, str(CRDS))


@pytest.mark.parametrize("program", ["helm", pytest.param("helm3", marks=long)])
def test_an_upgrade_brings_the_crd_up_to_date(place: Namespace, older_crd: set[str], program: str) -> None:
    helm(place, "install", operated(WITHOUT), program, "--skip-crds")
    assert fields() == older_crd - {FIELD}, "it was not left alone"
    helm(place, "upgrade", operated(WITHOUT), program)
    assert fields() == older_crd
    assert not place.get("jobs")


@long
def test_the_crd_is_brought_up_to_date_by_hand(older_crd: set[str]) -> None:
    """As the documentation has it."""
    assert BY_HAND in (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    assert fields() != older_crd
    command = BY_HAND.split()
    run(*command[:-1], str(ROOT / command[-1]))
    assert fields() == older_crd


@pytest.fixture
def three() -> Iterator[Sequence[Namespace]]:
    with with_tokens("lease-ops") as ops, with_tokens("lease-first") as first, with_tokens("lease-second") as second:
        yield ops, first, second


@long
def test_an_operator_of_the_cluster_controls_all_fleets(three: Sequence[Namespace]) -> None:
    ops, *places = three
    one = {**WITHOUT, "replicaCount": 1, "autoscaling": {"minReplicas": 1, "maxReplicas": 3}}
    helm(ops, "install", operated(one, scope="cluster"))
    for place in places:
        helm(place, "install", one)
        place.apply(
            {
                "apiVersion": "tradecast.dev/v1alpha1",
                "kind": "SocketFleet",
                "metadata": {"name": "tradecast"},
                "spec": {
                    "deployment": "tradecast",
                    "replicas": 2,
                    "minReplicas": 1,
                    "maxReplicas": 3,
                    "admin": {"tokenSecret": {"name": "tokens"}},
                    "redisAdapter": {"apply": "figures"},
                },
            }
        )
    for place in places:
        wait_until(partial(has, place, 2), what="two servers")
        wait_until(partial(looked_after, place), what="the operator sees all servers")
        assert place.one("lease", "tradecast-operator")["spec"]["holderIdentity"]
        assert place.get("events", "--field-selector=reason=ScaledUp")
        place.kubectl("scale", "socketfleet/tradecast", "--replicas=1")
        wait_until(partial(has, place, 1), what="one server")
    said = ops.kubectl("logs", "deployment/tradecast-operator", "--tail=-1")
    assert not re.search(r"\b403\b|[Ff]orbidden", said), said[-3000:]
    with pytest.raises(CommandFailed):
        ops.kubectl("auth", "can-i", "delete", "pods", f"--as=system:serviceaccount:{ops.name}:tradecast-operator")

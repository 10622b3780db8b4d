"""The operator's life in a release: switched on and off while servers run, its CRD brought up to date, its scope."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import yaml

from e2e.kube import CHART, ROOT, CommandFailed, Namespace, run
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


def namespaces(*names: str) -> Iterator[list[Namespace]]:
    made = [Namespace(name) for name in names]
    for one in made:
        one.apply(TOKENS)
    try:
        yield made
    finally:
        for one in made:
            one.delete()


@pytest.fixture
def place() -> Iterator[Namespace]:
    for (made,) in namespaces("lease-install"):
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


@long
def test_switched_off_in_the_middle_of_a_drain(place: Namespace) -> None:
    values = operated(WITHOUT)
    before = scaled_to_three(place, WITHOUT, "helm")
    helm(place, "upgrade", values)
    wait_until(lambda: looked_after(place), what="the operator looks after it")
    place.kubectl("scale", "socketfleet/tradecast", "--replicas=2")
    (pod,) = wait_until(lambda: place.get("pods", "-l", "tradecast.dev/draining=true"), what="a drain")
    place.kubectl("annotate", "socketfleet/tradecast", "tradecast.dev/paused=true")
    said = place.helm("upgrade", "tradecast", str(CHART), values=WITHOUT)
    assert replicas(place) == 3
    assert uids(place) == before
    (command,) = re.findall(r"kubectl --namespace \S+ (delete pod \S+ \S+)", said)
    place.kubectl(*command.split())
    wait_until(lambda: before - uids(place) == {pod["metadata"]["uid"]}, what="only the drained one is replaced")
    wait_until(lambda: len(place.servers(ready=True)) == 3, what="three servers")


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
    yield from namespaces("lease-ops", "lease-first", "lease-second")


@long
def test_an_operator_of_the_cluster_looks_after_all_fleets(three: Sequence[Namespace]) -> None:
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
        ops.kubectl("auth", "can-i", "delete", "pods", "--as=system:serviceaccount:lease-ops:tradecast-operator")

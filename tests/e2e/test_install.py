"""`helm install` with no values at all, and back to nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.kube import CHART, CommandFailed, Namespace, temporary
from e2e.policies import enforced
from kit.waiting import wait_until

KINDS = "all,configmaps,secrets,serviceaccounts,networkpolicies,poddisruptionbudgets,ingresses,scaledobjects"


# A uid from the range that OpenShift gives to a namespace; its admission sets it, and refuses any other.
UID = 1000730000
COMPONENTS = ("server", "feed", "test")
# What it takes for that: the chart's own ids go, and all else stays. Here the pods say the rest, in OpenShift's place.
ANY_UID: dict[str, Any] = {
    "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
    "podSpec": {"securityContext": {"runAsUser": UID, "runAsGroup": 0, "fsGroup": UID}},
}
FOREIGN: dict[str, Any] = {
    **dict.fromkeys(COMPONENTS, ANY_UID),
    "redis": {"bundled": ANY_UID},
    # Only an ingress controller's pods may reach the servers, and there is none.
    "networkPolicy": {"httpFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}]},
}
REACH = "import socket, sys; socket.create_connection((sys.argv[1], 80), 3)"


@pytest.fixture
def demo() -> Iterator[Namespace]:
    with temporary("demo") as made:
        yield made


def names(namespace: Namespace) -> set[str]:
    return set(namespace.kubectl("get", KINDS, "-o", "name").split())


def helm_test(namespace: Namespace, program: str) -> None:
    try:
        tested = namespace.helm("test", "tradecast", "--timeout=180s", program=program)
    except CommandFailed as failed:  # one that succeeds is deleted
        failed.add_note(namespace.kubectl("logs", "tradecast-test"))
        raise
    assert re.search(r"Phase:\s+Succeeded", tested)


@pytest.mark.timeout(600)
def test_defaults_give_a_working_demo_and_uninstall_leaves_nothing(demo: Namespace) -> None:
    before = names(demo)
    notes = demo.helm("install", "tradecast", str(CHART), "--wait", "--timeout=180s")
    assert "This is a DEMO" in notes
    assert len(demo.servers(ready=True)) == 2
    components = [pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in demo.get("pods")]
    assert sorted(components) == ["feed", "redis", "server", "server"]
    assert {policy["metadata"]["name"] for policy in demo.get("networkpolicies")} >= {
        "tradecast", "tradecast-feed", "tradecast-redis",
    }  # fmt: skip
    helm_test(demo, "helm")

    pod = demo.servers(ready=True)[0]["metadata"]["name"]
    raw = f"/api/v1/namespaces/{demo.name}/pods/{pod}:8000/proxy"
    assert "<title>" in demo.kubectl("get", "--raw", raw + "/")
    assert json.loads(demo.kubectl("get", "--raw", raw + "/health"))["status"] == "up"

    demo.helm("uninstall", "tradecast", "--wait", "--timeout=180s")
    # Helm does not wait for the pods, which drain.
    wait_until(lambda: not names(demo) - before, what="nothing is left")


@pytest.mark.timeout(600)
def test_any_uid_and_enforced_policies_will_do(demo: Namespace) -> None:
    """With the Helm of before, too."""
    demo.helm("install", "tradecast", str(CHART), "--wait", "--timeout=180s", program="helm3", values=FOREIGN)
    pods = demo.get("pods")
    assert len(pods) == 4
    for pod in pods:
        name = pod["metadata"]["name"]
        assert pod["spec"]["securityContext"]["runAsUser"] == UID
        assert "runAsUser" not in pod["spec"]["containers"][0].get("securityContext", {})
        ids = demo.kubectl("exec", name, "--", "grep", "^Uid:", "/proc/1/status").split()[1:]
        assert set(ids) == {str(UID)}
    (feed,) = [pod["metadata"]["name"] for pod in pods if pod["metadata"]["name"].startswith("tradecast-feed-")]
    reach = ("exec", feed, "--", "python3", "-c", REACH, "tradecast")
    demo.kubectl(*reach)
    with enforced(demo):
        with pytest.raises(CommandFailed, match="TimeoutError"):
            demo.kubectl(*reach)
        helm_test(demo, "helm3")
    demo.helm("uninstall", "tradecast", "--wait", "--timeout=180s", program="helm3")


def test_values_that_contradict_each_other_are_refused_with_a_sentence(demo: Namespace) -> None:
    with pytest.raises(CommandFailed, match=r"set redis\.existingSecret"):
        demo.helm("install", "tradecast", str(CHART), "--set", "mode=production")
    # There is no Prometheus Operator here: what Helm itself would say of it names no value.
    for program in ("helm", "helm3"):
        with pytest.raises(CommandFailed, match=r"set metrics\.podMonitor\.enabled=false"):
            demo.helm("install", "tradecast", str(CHART), "--set", "metrics.podMonitor.enabled=true", program=program)
    assert not demo.get("deployments")


def test_pod_security_is_enforced(demo: Namespace) -> None:
    """The namespace refuses what is not restricted: that the chart's pods start there says something."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root"},
        "spec": {"containers": [{"name": "root", "image": "docker.io/library/redis:7.2-alpine"}]},
    }
    with pytest.raises(CommandFailed, match='violates PodSecurity "restricted'):
        demo.apply(pod)

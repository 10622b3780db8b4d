"""`helm install` with no values at all, and back to nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from e2e.kube import CHART, CommandFailed, Namespace
from kit.waiting import wait_until

KINDS = "all,configmaps,secrets,serviceaccounts,networkpolicies,poddisruptionbudgets,ingresses,scaledobjects"


@pytest.fixture
def demo() -> Iterator[Namespace]:
    namespace = Namespace("demo")
    yield namespace
    namespace.delete()


def names(namespace: Namespace) -> set[str]:
    return set(namespace.kubectl("get", KINDS, "-o", "name").split())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("program", ["helm", "helm3"])
def test_defaults_give_a_working_demo_and_uninstall_leaves_nothing(demo: Namespace, program: str) -> None:
    before = names(demo)
    notes = demo.helm("install", "tradecast", str(CHART), "--wait", "--timeout=180s", program=program)
    assert "This is a DEMO" in notes
    assert len(demo.servers(ready=True)) == 2
    components = [pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in demo.get("pods")]
    assert sorted(components) == ["feed", "redis", "server", "server"]
    assert {policy["metadata"]["name"] for policy in demo.get("networkpolicies")} == {
        "tradecast", "tradecast-feed", "tradecast-redis",
    }  # fmt: skip

    tested = demo.helm("test", "tradecast", "--timeout=120s", program=program)
    assert re.search(r"Phase:\s+Succeeded", tested)

    pod = demo.servers(ready=True)[0]["metadata"]["name"]
    raw = f"/api/v1/namespaces/{demo.name}/pods/{pod}:8000/proxy"
    assert "<title>" in demo.kubectl("get", "--raw", raw + "/")
    assert json.loads(demo.kubectl("get", "--raw", raw + "/health"))["status"] == "up"

    demo.helm("uninstall", "tradecast", "--wait", "--timeout=180s", program=program)
    # Helm does not wait for the pods, which drain.
    wait_until(lambda: not names(demo) - before, what="nothing is left")


def test_values_that_contradict_each_other_are_refused_with_a_sentence(demo: Namespace) -> None:
    with pytest.raises(CommandFailed, match=r"set redis\.existingSecret"):
        demo.helm("install", "tradecast", str(CHART), "--set", "mode=production")
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

"""What is kept of a pod."""

from __future__ import annotations

import json

import pytest

from kit.kubernetes.fake_api import REPLICA_SET, owned_by, pod_body
from kit.kubernetes.many_pods import real_pod
from tradecast_operator.kube.observe import observe_fleet, target_of
from tradecast_operator.kube.pods.reduced import reduce_pod

DEPLOYMENT = {"metadata": {"resourceVersion": "1"}, "spec": {}}


def test_a_pod_of_12_kb_has_one_kb_and_is_the_same_to_whoever_decides() -> None:
    whole = real_pod(7)
    whole["metadata"] |= {"deletionTimestamp": "2026-01-01T11:00:00Z", "deletionGracePeriodSeconds": 30}
    whole["metadata"]["annotations"] |= {"tradecast.dev/drain-since": "1767261000"}
    reduced = reduce_pod(whole)
    assert len(json.dumps(whole)) > 8_000
    assert len(json.dumps(reduced)) < 1_200
    assert observe_fleet(DEPLOYMENT, [reduced], {}, 0) == observe_fleet(DEPLOYMENT, [whole], {}, 0)
    assert target_of(reduced) == target_of(whole)
    assert reduced["spec"] == {"nodeName": "node-7", "terminationGracePeriodSeconds": 600}
    assert reduced["metadata"]["deletionGracePeriodSeconds"] == 30


def test_what_somebody_has_written_on_a_pod_takes_no_memory() -> None:
    pod = pod_body("a", annotations={f"x-{number}": "y" * 1_000 for number in range(200)})
    pod["metadata"]["annotations"]["tradecast.dev/drain-since"] = "1" * 200_000
    pod["metadata"]["ownerReferences"] += [{**owned_by("Job", str(number)), "controller": False} for number in range(9)]
    reduced = reduce_pod(pod)
    assert reduced["metadata"]["annotations"] == {}
    assert [one["uid"] for one in reduced["metadata"]["ownerReferences"]] == [REPLICA_SET]


@pytest.mark.parametrize("body", [{}, {"metadata": {"labels": None}, "spec": None, "status": {"conditions": None}}])
def test_what_has_none_of_it(body: dict[str, object]) -> None:
    reduced = reduce_pod(body)
    assert (reduced["metadata"]["labels"], reduced["spec"], reduced["status"]["conditions"]) == ({}, {}, [])

from __future__ import annotations

from typing import Any

import pytest

from kit.kubernetes.fake_api import owned_by
from tradecast_operator.kube.owners import NUMBER, find_revision, owner_of, replica_sets_of, split_pods
from tradecast_operator.kube.pods.reduced import REVISION


def body(uid: str, *owners: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "ownerReferences": list(owners)}}


DEPLOYMENT = body("d")
SETS = [body("r1", owned_by("Deployment", "d")), body("r2", owned_by("Deployment", "other")), body("r3")]


def test_pods_of_the_deployments_replicasets_are_its_own() -> None:
    ours = replica_sets_of(DEPLOYMENT, SETS)
    assert ours == {"r1"}
    pods = [body(f"p{number}", owned_by("ReplicaSet", f"r{number}")) for number in range(1, 5)]
    mine, others = split_pods(pods, ours)
    assert [one["metadata"]["uid"] for one in mine] == ["p1"]
    assert len(others) == 3


def test_a_deployment_without_uid_owns_nothing() -> None:
    assert replica_sets_of({"metadata": {}}, [body("r", owned_by("Deployment", ""))]) == frozenset()


@pytest.mark.parametrize(
    "reference",
    [
        {**owned_by("ReplicaSet", "r1"), "controller": None},
        {**owned_by("ReplicaSet", "r1"), "kind": "StatefulSet"},
        {**owned_by("ReplicaSet", "r1"), "apiVersion": "evil.example/v1"},
        {**owned_by("ReplicaSet", "r1"), "apiVersion": "appsx/v1"},
    ],
)
def test_who_is_not_the_controller_is_not_the_owner(reference: dict[str, Any]) -> None:
    assert owner_of(body("p", reference), "ReplicaSet") is None


def test_of_several_owners_the_controller_counts() -> None:
    pod = body("p", {**owned_by("ReplicaSet", "r2"), "controller": False}, owned_by("ReplicaSet", "r1"))
    assert owner_of(pod, "ReplicaSet") == "r1"
    assert owner_of({"metadata": {"ownerReferences": None}}, "ReplicaSet") is None


def numbered(uid: str, deployment: str, number: str | None, label: str) -> dict[str, Any]:
    found = body(uid, owned_by("Deployment", deployment))
    found["metadata"] |= {"labels": {REVISION: label}, "annotations": {} if number is None else {NUMBER: number}}
    return found


@pytest.mark.parametrize(
    ("number", "found"),
    [("3", "good"), ("2", "bad"), ("9", ""), (None, ""), ("5", "")],
    ids=["undone: the first one again", "the second one", "not made yet", "no number", "somebody else's"],
)
def test_the_revision_that_a_deployment_asks_for(number: str | None, found: str) -> None:
    uid = DEPLOYMENT["metadata"]["uid"]
    sets = [numbered("1", uid, "3", "good"), numbered("2", uid, "2", "bad"), numbered("3", uid, None, "adopted")]
    sets.append(numbered("4", "another", "5", "foreign"))
    deployment = {"metadata": {**DEPLOYMENT["metadata"], "annotations": {} if number is None else {NUMBER: number}}}
    assert find_revision(deployment, sets) == found

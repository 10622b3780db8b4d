"""Which pods belong to a Deployment: those that its ReplicaSets own, by uid. Pure.

Anybody who may create pods can set labels, and a selector may match pods of another Deployment. Such pods are not
asked, not counted and not drained.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from tradecast_operator.kube.client import Object
from tradecast_operator.kube.pods.reduced import REVISION

APPS: Final = "apps/"
# The number of a rollout, on a Deployment and on the ReplicaSet that it asks for.
NUMBER: Final = "deployment.kubernetes.io/revision"


def owner_of(body: Object, kind: str) -> str | None:
    """The uid of the controller of this kind that owns an object; None: there is none."""
    references: Sequence[Any] = body["metadata"].get("ownerReferences") or ()
    for one in references:
        if one.get("controller") and one.get("kind") == kind and str(one.get("apiVersion")).startswith(APPS):
            return str(one["uid"])
    return None


def replica_sets_of(deployment: Object, replica_sets: Sequence[Object]) -> frozenset[str]:
    """The uids of the ReplicaSets that a Deployment owns."""
    uid = deployment["metadata"].get("uid")
    return frozenset(str(one["metadata"]["uid"]) for one in replica_sets if uid and owner_of(one, "Deployment") == uid)


def split_pods(pods: Sequence[Object], replica_sets: Collection[str]) -> tuple[list[Object], list[Object]]:
    """Split pods into those that these ReplicaSets own, and the others."""
    ours: list[Object] = []
    others: list[Object] = []
    for pod in pods:
        (ours if owner_of(pod, "ReplicaSet") in replica_sets else others).append(pod)
    return ours, others


def find_revision(deployment: Object, replica_sets: Sequence[Object]) -> str:
    """The revision that a Deployment asks for: the label of its present ReplicaSet; empty: there is none yet.

    An undone rollout brings an earlier ReplicaSet back under its old label, and gives it a new number.
    """
    ours = replica_sets_of(deployment, replica_sets)
    number = (deployment["metadata"].get("annotations") or {}).get(NUMBER)
    found = [
        str((one["metadata"].get("labels") or {}).get(REVISION, ""))
        for one in replica_sets
        if str(one["metadata"]["uid"]) in ours and (one["metadata"].get("annotations") or {}).get(NUMBER) == number
    ]
    return found[0] if number is not None and len(found) == 1 else ""

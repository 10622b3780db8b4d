"""Which pods are the Deployment's: those that its ReplicaSets own, by uid. Pure.

Labels are anybody's who may make a pod; a selector may match pods of another Deployment. Those are not asked, not
counted and not drained.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from tradecast_operator.kube.client import Object

APPS: Final = "apps/"


def owner_of(body: Object, kind: str) -> str | None:
    """The uid of the controller of this kind that owns something; None: no such one does."""
    references: Sequence[Any] = body["metadata"].get("ownerReferences") or ()
    for one in references:
        if one.get("controller") and one.get("kind") == kind and str(one.get("apiVersion")).startswith(APPS):
            return str(one["uid"])
    return None


def replica_sets_of(deployment: Object, replica_sets: Sequence[Object]) -> frozenset[str]:
    """The uids of those that are a Deployment's."""
    uid = deployment["metadata"].get("uid")
    return frozenset(str(one["metadata"]["uid"]) for one in replica_sets if uid and owner_of(one, "Deployment") == uid)


def split(pods: Sequence[Object], replica_sets: Collection[str]) -> tuple[list[Object], list[Object]]:
    """The pods that these ReplicaSets own, and the others."""
    ours: list[Object] = []
    others: list[Object] = []
    for pod in pods:
        (ours if owner_of(pod, "ReplicaSet") in replica_sets else others).append(pod)
    return ours, others

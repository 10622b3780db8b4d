"""Which pods belong to a Deployment: those that its ReplicaSets own, by uid. Pure.

Anybody who may create pods can set labels, and a selector may match pods of another Deployment. Such pods are not
asked, not counted and not drained.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from tradecast_operator.kube.client import Object

APPS: Final = "apps/"


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


def split(pods: Sequence[Object], replica_sets: Collection[str]) -> tuple[list[Object], list[Object]]:
    """Split pods into those that these ReplicaSets own, and the others."""
    ours: list[Object] = []
    others: list[Object] = []
    for pod in pods:
        (ours if owner_of(pod, "ReplicaSet") in replica_sets else others).append(pod)
    return ours, others

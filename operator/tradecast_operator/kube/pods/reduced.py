"""A pod with the few fields that the operator reads, some hundred bytes of ten thousand. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Object = dict[str, Any]
# Labels and annotations that are read; all of the operator's own are kept.
REVISION: Final = "pod-template-hash"
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
OWN: Final = "tradecast.dev/"
# Characters of a value; the operator's own are shorter.
LONGEST: Final = 1_000
_METADATA: Final = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_SPEC: Final = ("nodeName", "terminationGracePeriodSeconds")
_STATUS: Final = ("phase", "reason", "podIP")
_OWNER: Final = ("apiVersion", "kind", "name", "uid", "controller")
_CONDITION: Final = ("type", "status", "reason", "lastTransitionTime")
_CONTAINER: Final = ("name", "ready", "restartCount")


def reduce_pod(pod: Mapping[str, Any]) -> Object:
    """The same pod, in the same form, with fewer fields."""
    metadata: Mapping[str, Any] = pod.get("metadata") or {}
    status: Mapping[str, Any] = pod.get("status") or {}
    return {
        "metadata": {
            **_fields(metadata, _METADATA),
            "labels": _values(metadata.get("labels")),
            "annotations": _values(metadata.get("annotations")),
            "ownerReferences": [_fields(one, _OWNER) for one in _list(metadata, "ownerReferences") if _controls(one)],
        },
        "spec": _fields(pod.get("spec") or {}, _SPEC),
        "status": {
            **_fields(status, _STATUS),
            "conditions": [_fields(one, _CONDITION) for one in _list(status, "conditions") if _is_read(one)],
            "initContainerStatuses": [
                _container(one)
                for one in _list(status, "initContainerStatuses")
                if "waiting" in (one.get("state") or {})
            ],
            "containerStatuses": [_container(one) for one in _list(status, "containerStatuses")],
        },
    }


def _fields(body: Mapping[str, Any], names: Sequence[str]) -> Object:
    return {name: body[name] for name in names if body.get(name) is not None}


def _list(body: Mapping[str, Any], name: str) -> Sequence[Any]:
    found: Sequence[Any] = body.get(name) or ()
    return found


def _values(found: Mapping[str, Any] | None) -> Object:
    return {
        key: value
        for key, value in (found or {}).items()
        if (key in (REVISION, DELETION_COST) or key.startswith(OWN)) and len(value) <= LONGEST
    }


def _is_read(condition: Mapping[str, Any]) -> bool:
    """Whether it says if the pod is ready, or that it waits for a node."""
    return condition.get("type") == "Ready" or (
        condition.get("type") == "PodScheduled" and condition.get("status") == "False"
    )


def _container(status: Mapping[str, Any]) -> Object:
    return {**_fields(status, _CONTAINER), "state": _state(status.get("state") or {})}


def _controls(reference: Mapping[str, Any]) -> bool:
    return bool(reference.get("controller"))


def _state(state: Mapping[str, Any]) -> Object:
    """Whether a container waits, runs or has ended, and why."""
    return {name: _fields(one or {}, ("reason", "exitCode", "startedAt")) for name, one in state.items()}

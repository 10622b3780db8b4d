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
            **_pick_fields(metadata, _METADATA),
            "labels": _pick_values(metadata.get("labels")),
            "annotations": _pick_values(metadata.get("annotations")),
            "ownerReferences": [
                _pick_fields(one, _OWNER) for one in _read_list(metadata, "ownerReferences") if _is_controller(one)
            ],
        },
        "spec": _pick_fields(pod.get("spec") or {}, _SPEC),
        "status": {
            **_pick_fields(status, _STATUS),
            "conditions": [_pick_fields(one, _CONDITION) for one in _read_list(status, "conditions") if _is_read(one)],
            "initContainerStatuses": [
                _reduce_container(one)
                for one in _read_list(status, "initContainerStatuses")
                if "waiting" in (one.get("state") or {})
            ],
            "containerStatuses": [_reduce_container(one) for one in _read_list(status, "containerStatuses")],
        },
    }


def _pick_fields(body: Mapping[str, Any], names: Sequence[str]) -> Object:
    return {name: body[name] for name in names if body.get(name) is not None}


def _read_list(body: Mapping[str, Any], name: str) -> Sequence[Any]:
    found: Sequence[Any] = body.get(name) or ()
    return found


def _pick_values(found: Mapping[str, Any] | None) -> Object:
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


def _reduce_container(status: Mapping[str, Any]) -> Object:
    return {**_pick_fields(status, _CONTAINER), "state": _reduce_state(status.get("state") or {})}


def _is_controller(reference: Mapping[str, Any]) -> bool:
    return bool(reference.get("controller"))


def _reduce_state(state: Mapping[str, Any]) -> Object:
    """Whether a container waits, runs or has ended, and why."""
    return {name: _pick_fields(one or {}, ("reason", "exitCode", "startedAt")) for name, one in state.items()}

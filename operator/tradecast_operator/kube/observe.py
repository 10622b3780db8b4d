"""Reading a fleet: its Deployment and pods from Kubernetes, connections from the servers."""

from __future__ import annotations

import asyncio
import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tradecast_operator.clients.server_admin import Servers, ServerSilent, Target
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.owners import owner_of
from tradecast_operator.model.observation import Observation, Pod, Stats

# On pods that the operator drains: since when, in seconds since 1970, and for which SocketFleet.
DRAIN_SINCE: Final = "tradecast.dev/drain-since"
DRAIN_FLEET: Final = "tradecast.dev/drain-fleet"
# By which such pods are found again.
DRAINING: Final = "tradecast.dev/draining"
# https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
FIRST: Final = "-2147483648"
REVISION: Final = "pod-template-hash"
# On the Deployment's pod template: another value rolls it, as `kubectl rollout restart` does with one of its own. It is
# in no manifest, so that what applies manifests leaves it alone.
MODE_MARK: Final = "tradecast.dev/adapter-mode"
# The servers' setting, and the key of the operator's ConfigMap that it comes from.
MODE_SETTING: Final = "ADAPTER_MODE"
MODE_KEY: Final = "mode"
# On the pod template of servers that take signed requests: to them the token itself is never sent.
ADMIN_MARK: Final = "tradecast.dev/admin-requests"
SIGNED: Final = "signed"


async def ask_servers(pods: Sequence[Object], servers: Servers) -> Mapping[str, Stats]:
    """What each pod's server says, by uid; pods whose server does not answer are left out."""
    found: dict[str, Stats] = {}

    async def ask(pod: Object) -> None:
        target = target_of(pod)
        if not target.address or not has_started(pod):
            return
        try:
            found[target.uid] = await servers.stats(target)
        except ServerSilent:
            return

    await asyncio.gather(*map(ask, pods))
    return found


def target_of(pod: Object) -> Target:
    """How a pod's server is asked."""
    metadata = pod["metadata"]
    return Target(
        uid=metadata["uid"],
        address=pod["status"].get("podIP") or "",
        revision=owner_of(pod, "ReplicaSet") or "",
        signs=(metadata.get("annotations") or {}).get(ADMIN_MARK) == SIGNED,
    )


def observe(deployment: Object, pods: Sequence[Object], stats: Mapping[str, Stats], now: float) -> Observation:
    """A fleet as it is seen now."""
    spec, status, metadata = deployment["spec"], deployment.get("status", {}), deployment["metadata"]
    seen = [_pod(pod, stats.get(pod["metadata"]["uid"])) for pod in pods if not _is_over(pod)]
    behind = status.get("observedGeneration", 0) < metadata.get("generation", 0)
    revisions = {pod.revision for pod in seen if not pod.terminating}
    template = spec.get("template") or {}
    return Observation(
        time=now,
        replicas=int(spec.get("replicas", 1)),
        version=metadata["resourceVersion"],
        behind=behind,
        rolling=status.get("updatedReplicas", 0) < status.get("replicas", 0) or len(revisions) > 1,
        pods=seen,
        # While it is behind, its conditions are about what was before.
        stuck=not behind
        and any(
            one.get("type") == "Progressing" and one.get("reason") == "ProgressDeadlineExceeded"
            for one in status.get("conditions") or []
        ),
        mode_mark=str((template.get("metadata", {}).get("annotations") or {}).get(MODE_MARK, "")),
        mode_from=_mode_from(template),
    )


def _mode_from(template: Object) -> frozenset[str]:
    """The ConfigMaps that containers take ADAPTER_MODE from; of several entries of one name the last holds."""
    found = []
    for container in template.get("spec", {}).get("containers") or []:
        entries = {one.get("name"): one for one in container.get("env") or []}
        found.append((entries.get(MODE_SETTING, {}).get("valueFrom") or {}).get("configMapKeyRef") or {})
    return frozenset(str(one.get("name")) for one in found if one.get("key") == MODE_KEY)


def has_started(pod: Object) -> bool:
    """Whether a pod's server has run, so that it can have clients."""
    statuses = pod["status"].get("containerStatuses") or []
    return any("running" in (one.get("state") or {}) for one in statuses)


def _pod(pod: Object, stats: Stats | None) -> Pod:
    metadata = pod["metadata"]
    annotations = metadata.get("annotations") or {}
    terminating = "deletionTimestamp" in metadata
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        ready_since=None if terminating else _ready_since(pod),
        started=has_started(pod),
        terminating=terminating,
        revision=(metadata.get("labels") or {}).get(REVISION, ""),
        goes_first=annotations.get(DELETION_COST) == FIRST,
        drain_since=_number(annotations.get(DRAIN_SINCE)),
        stats=stats,
    )


def _is_over(pod: Object) -> bool:
    """Whether nothing of it runs any more: evicted, or ended."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def _ready_since(pod: Object) -> float | None:
    for condition in pod["status"].get("conditions") or []:
        if condition["type"] == "Ready" and condition["status"] == "True":
            return _seconds(condition.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])
    return None


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def _number(text: Any) -> float | None:
    """What the operator wrote; None for what somebody else has made of it."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None

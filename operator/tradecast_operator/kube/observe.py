"""Combines Kubernetes' objects and the servers' reports to an observation of a fleet."""

from __future__ import annotations

import asyncio
import datetime
import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from tradecast_operator.clients.server_admin import ServerAdmin, ServerSilent, Target
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.owners import owner_of
from tradecast_operator.kube.pods.reduced import DELETION_COST, REVISION
from tradecast_operator.model.observation import Observation, Pacing, Pod, Stats
from tradecast_operator.model.rollout_record import read_hold

# Annotations of pods that the operator drains: since when, in seconds since 1970, and for which SocketFleet.
DRAIN_SINCE: Final = "tradecast.dev/drain-since"
DRAIN_FLEET: Final = "tradecast.dev/drain-fleet"
# The label by which such pods are found.
DRAINING: Final = "tradecast.dev/draining"
# https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost
FIRST: Final = "-2147483648"
# An annotation on the Deployment's pod template: another value rolls the Deployment, as `kubectl rollout restart` does.
# It is in no manifest, so tools that apply manifests leave it alone.
MODE_MARK: Final = "tradecast.dev/adapter-mode"
# The servers' setting, and the key of the operator's ConfigMap that provides it.
MODE_SETTING: Final = "ADAPTER_MODE"
MODE_KEY: Final = "mode"
# An annotation on the pod template of servers that accept signed requests: they never get the token itself.
ADMIN_MARK: Final = "tradecast.dev/admin-requests"
SIGNED: Final = "signed"
# The annotation in which Helm keeps a release's name.
RELEASE: Final = "meta.helm.sh/release-name"
# Why a container does not run, and will not by waiting a moment (https://kubernetes.io/docs/concepts/workloads/pods/
# pod-lifecycle/, and pkg/kubelet/images and pkg/kubelet/kuberuntime for the others).
TROUBLES: Final = frozenset(
    {
        *("CrashLoopBackOff", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"),
        *("CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
    }
)
# A server that is not ready and was restarted so many times crashes, also while it runs for a moment.
RESTARTS: Final = 2
# Seconds by which the kubelet may report late that a new pod is not ready.
SETTLED: Final = 5.0
# Of the pods out of service that did not answer, so many are asked in one round.
MOST_SILENT: Final = 25


async def ask_servers(pods: Sequence[Object], admin: ServerAdmin, silent: dict[str, float]) -> Mapping[str, Stats]:
    """The servers' statistics, by the pod's uid; pods whose server does not answer are left out.

    Args:
        pods: The pods.
        admin: Asks their servers.
        silent: When pods that did not answer were last asked, by uid; is brought up to date.
    """
    found: dict[str, Stats] = {}

    async def ask(pod: Object) -> None:
        target = target_of(pod)
        if not target.address or not has_started(pod):
            return
        try:
            found[target.uid] = await admin.stats(target)
            silent.pop(target.uid, None)
        except ServerSilent:
            silent[target.uid] = time.monotonic()

    await asyncio.gather(*map(ask, choose_pods(pods, silent)))
    return found


def choose_pods(pods: Sequence[Object], silent: Mapping[str, float]) -> Sequence[Object]:
    """Choose the pods to ask. Of pods out of service that did not answer, those asked longest ago.

    Each of them takes a request's whole time. With the pods of a zone that has failed, a round would take minutes.
    """
    doubtful = [pod for pod in pods if pod["metadata"]["uid"] in silent and not _is_in_service(pod)]
    if len(doubtful) <= MOST_SILENT:
        return pods
    doubtful.sort(key=lambda pod: silent[pod["metadata"]["uid"]])
    left_out = {pod["metadata"]["uid"] for pod in doubtful[MOST_SILENT:]}
    return [pod for pod in pods if pod["metadata"]["uid"] not in left_out]


def target_of(pod: Object) -> Target:
    """How to send requests to a pod's server."""
    metadata = pod["metadata"]
    return Target(
        uid=metadata["uid"],
        address=pod["status"].get("podIP") or "",
        revision=owner_of(pod, "ReplicaSet") or "",
        signs=(metadata.get("annotations") or {}).get(ADMIN_MARK) == SIGNED,
    )


def observe_fleet(
    deployment: Object, pods: Sequence[Object], stats: Mapping[str, Stats], now: float, revision: str = ""
) -> Observation:
    """The fleet as it is now.

    Args:
        deployment: Its Deployment.
        pods: The Deployment's pods.
        stats: What their servers report, by the pod's uid.
        now: Seconds since 1970.
        revision: The revision that the Deployment asks for; empty: unknown, unless all pods have one.
    """
    spec, status, metadata = deployment["spec"], deployment.get("status", {}), deployment["metadata"]
    seen = [_read_pod(pod, stats.get(pod["metadata"]["uid"])) for pod in pods if not _has_ended(pod)]
    behind = status.get("observedGeneration", 0) < metadata.get("generation", 0)
    revisions = {pod.revision for pod in seen if not pod.terminating}
    template = spec.get("template") or {}
    rolling = is_rolling(deployment, seen_revisions=revisions)
    pacing = _read_pacing(deployment)
    revision = revision or ("" if rolling or len(revisions) != 1 else next(iter(revisions)))
    return Observation(
        time=now,
        replicas=int(spec.get("replicas", 1)),
        version=metadata["resourceVersion"],
        behind=behind,
        rolling=rolling,
        pods=seen,
        # While the controller is behind, its conditions are about the previous spec.
        stuck=not behind and (_is_late(status) or _is_held(pacing, revision)),
        revision=revision,
        pacing=pacing,
        mode_mark=str((template.get("metadata", {}).get("annotations") or {}).get(MODE_MARK, "")),
        mode_from=_mode_from(template),
    )


def is_rolling(deployment: Object, seen_revisions: Collection[str]) -> bool:
    """Whether a rollout is under way: there are pods of an earlier template.

    Args:
        deployment: The Deployment.
        seen_revisions: Those of its pods that are not terminating.
    """
    status = deployment.get("status", {})
    return status.get("updatedReplicas", 0) < status.get("replicas", 0) or len(seen_revisions) > 1


def list_revisions(pods: Sequence[Object]) -> frozenset[str]:
    """The revisions of pods that are there to stay, and of terminating ones that still run."""
    return frozenset(_read_revision(pod) for pod in pods if not _has_ended(pod))


def _read_revision(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(REVISION, ""))


def _is_late(status: Object) -> bool:
    """Whether the rollout has not progressed in time."""
    return any(
        one.get("type") == "Progressing" and one.get("reason") == "ProgressDeadlineExceeded"
        for one in status.get("conditions") or []
    )


def _is_held(pacing: Pacing, revision: str) -> bool:
    """Whether the rollout has failed its trial."""
    return pacing.hold is not None and bool(revision) and pacing.hold.revision == revision


def _read_pacing(deployment: Object) -> Pacing:
    annotations, spec = deployment["metadata"].get("annotations") or {}, deployment["spec"]
    deadline = spec.get("progressDeadlineSeconds")
    return Pacing(
        minimum=int(spec.get("minReadySeconds") or 0),
        deadline=None if deadline is None else int(deadline),
        hold=read_hold(annotations),
        release=str(annotations.get(RELEASE, "")),
    )


def _mode_from(template: Object) -> frozenset[str]:
    """The ConfigMaps that containers take ADAPTER_MODE from; of several entries of one name the last one counts."""
    found = []
    for container in template.get("spec", {}).get("containers") or []:
        entries = {one.get("name"): one for one in container.get("env") or []}
        found.append((entries.get(MODE_SETTING, {}).get("valueFrom") or {}).get("configMapKeyRef") or {})
    return frozenset(str(one.get("name")) for one in found if one.get("key") == MODE_KEY)


def has_started(pod: Object) -> bool:
    """Whether a pod's server runs, so that it can have clients."""
    statuses = pod["status"].get("containerStatuses") or []
    return any("running" in (one.get("state") or {}) for one in statuses)


def _read_pod(pod: Object, stats: Stats | None) -> Pod:
    metadata = pod["metadata"]
    annotations = metadata.get("annotations") or {}
    deleted = metadata.get("deletionTimestamp")
    terminating = deleted is not None
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        ready_since=None if terminating else _ready_since(pod),
        started=has_started(pod),
        terminating=terminating,
        revision=_read_revision(pod),
        goes_first=annotations.get(DELETION_COST) == FIRST,
        drain_since=_parse_number(annotations.get(DRAIN_SINCE)),
        unready_since=None if terminating else _unready_since(pod),
        was_ready=_was_ready(pod),
        trouble="" if terminating else _find_trouble(pod),
        killed_at=_parse_seconds(deleted) if terminating else None,
        grace=float(metadata.get("deletionGracePeriodSeconds") or 0),
        stats=stats,
    )


def _unready_since(pod: Object) -> float | None:
    """Since when a pod is not ready; None: it is ready, or its node is missing, which is not its fault."""
    conditions = {one["type"]: one for one in pod["status"].get("conditions") or []}
    ready = conditions.get("Ready", {})
    if ready.get("status") == "True" or conditions.get("PodScheduled", {}).get("status") == "False":
        return None
    return _parse_seconds(ready.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])


def _was_ready(pod: Object) -> bool:
    """Whether it became unready after its containers had run: else the condition is as old as the pod."""
    ready: Object = next((one for one in pod["status"].get("conditions") or [] if one["type"] == "Ready"), {})
    began = [
        running["startedAt"]
        for one in pod["status"].get("containerStatuses") or []
        if (running := (one.get("state") or {}).get("running") or {}).get("startedAt")
    ]
    changed = ready.get("lastTransitionTime")
    return bool(began) and changed is not None and _parse_seconds(changed) > max(map(_parse_seconds, began)) + SETTLED


def _find_trouble(pod: Object) -> str:
    """Why a pod does not run, as Kubernetes' reason; empty: it runs, or may run soon."""
    status = pod["status"]
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in TROUBLES:
            return str(waiting["reason"])
        if not one.get("ready", True) and one.get("restartCount", 0) >= RESTARTS:
            return "CrashLoopBackOff"
    return ""


def _is_in_service(pod: Object) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and _ready_since(pod) is not None


def _has_ended(pod: Object) -> bool:
    """Whether none of its containers runs any more: it was evicted, or has ended."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def _ready_since(pod: Object) -> float | None:
    for condition in pod["status"].get("conditions") or []:
        if condition["type"] == "Ready" and condition["status"] == "True":
            return _parse_seconds(condition.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])
    return None


def _parse_seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def _parse_number(text: Any) -> float | None:
    """The number that the operator wrote; None if somebody else has changed it."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None

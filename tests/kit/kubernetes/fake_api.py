"""A namespace of Kubernetes in memory, as the operator's client sees it; the real one is asked in tests/e2e."""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from tradecast_operator.kube.client import Conflict, Kubernetes, Missing, Object
from tradecast_operator.kube.lease import Tenure
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.kube.pods.reduced import reduce_pod

NAMESPACE = "trading"
LABELS = {"app.kubernetes.io/name": "tradecast"}
TOKEN = "operators-token"
# What the Deployment's ReplicaSet is known by, and the labels by which a Secret consents.
REPLICA_SET, DEPLOYMENT = "replica-set-uid", "deployment-uid"
CONSENTS = {"tradecast.dev/admin-token": "true", "tradecast.dev/redis-url": "true"}


def fleet_body(**spec: Any) -> Object:
    """A SocketFleet as the API server gives it."""
    return {
        "apiVersion": "tradecast.dev/v1alpha1",
        "kind": "SocketFleet",
        "metadata": {
            "name": "fleet", "namespace": NAMESPACE, "uid": "fleet-uid", "generation": 1, "resourceVersion": "1",
        },
        "spec": {"deployment": "servers", "replicas": 2, "minReplicas": 1, "maxReplicas": 9, **spec},
    }  # fmt: skip


def pod_body(name: str, address: str = "", *, ready: bool = True, **metadata: Any) -> Object:
    """A pod of the Deployment whose container runs."""
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-01T10:00:00Z"}
    return {
        "metadata": {
            "name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T09:00:00Z",
            "labels": {**LABELS, "pod-template-hash": "abc"}, "annotations": {},
            "ownerReferences": [owned_by("ReplicaSet", REPLICA_SET)], **metadata,
        },
        "status": {
            "phase": "Running", "podIP": address, "conditions": [condition],
            "containerStatuses": [{"state": {"running": {}}}],
        },
    }  # fmt: skip


def owned_by(kind: str, uid: str) -> Object:
    """A reference to a controller."""
    return {"apiVersion": "apps/v1", "kind": kind, "name": kind.lower(), "uid": uid, "controller": True}


class Granted(Leaseholder):
    """The Lease of a fleet is held, or not, as a test wants it; its clock stands still, so that it never expires."""

    def __init__(self, *, held: bool = True) -> None:
        super().__init__(FakeKubernetes(), fleet_body(), clock=lambda: 1.0)
        self.grant(held=held)

    def grant(self, *, held: bool) -> None:
        self._terms += held
        self._tenure = Tenure("me", renewed=self._clock() if held else None)

    def holds(self) -> bool:
        return self._tenure.renewed is not None

    async def attempt(self) -> None:
        pass


class SoleFleet:
    """A registry without any other fleet."""

    def find_owner(self, namespace: str, name: str) -> str:
        return ""

    def remove(self, namespace: str, name: str) -> None:
        pass


class FakeKubernetes(Kubernetes):
    """What the operator may ask for, and what it has done.

    Attributes:
        deployments: By name.
        pod_list: All pods.
        statuses: Every status that was written.
        events: Every event that was written.
        config_maps: By name.
        leases: By name.
        lease_writes: How many there were.
        gone: Whether the SocketFleet has been deleted.
        secrets: Keys of Secrets besides the token's, by name.
        secret_labels: Of all Secrets.
        sets: All ReplicaSets.
        sets_listed: How many times they were asked for.
    """

    def __init__(self, pods: Sequence[Object] = (), replicas: int = 2) -> None:
        super().__init__()
        self.pod_list = list(pods)
        self.deployments: dict[str, Object] = {
            "servers": {
                "metadata": {"name": "servers", "uid": DEPLOYMENT, "generation": 1, "resourceVersion": "7"},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": LABELS},
                    # As the operator has written it, and as the API server fills it in.
                    "minReadySeconds": 60,
                    "progressDeadlineSeconds": 600,
                },
                "status": {"observedGeneration": 1, "replicas": len(pods), "updatedReplicas": len(pods)},
            }
        }
        self.fleet_replicas: list[int] = []
        self.statuses: list[Object] = []
        self.events: list[Object] = []
        self.config_maps: dict[str, Object] = {}
        self.secrets: dict[str, dict[str, str | bytes]] = {}
        self.secret_labels: dict[str, str] = dict(CONSENTS)
        self.sets: list[Object] = [
            {"metadata": {"uid": REPLICA_SET, "ownerReferences": [owned_by("Deployment", DEPLOYMENT)]}}
        ]
        self.sets_listed = 0
        self.leases: dict[str, Object] = {}
        self.lease_writes = 0
        self.gone = False
        self._config_map_writes = 0

    @property
    def replicas(self) -> int:
        return int(self.deployments["servers"]["spec"]["replicas"])

    def pod(self, name: str) -> Object:
        return next(pod for pod in self.pod_list if pod["metadata"]["name"] == name)

    async def start(self) -> None:
        pass

    async def deployment(self, namespace: str, name: str) -> Object:
        if name not in self.deployments:
            raise Missing(f"deployments/{name}")
        return copy.deepcopy(self.deployments[name])

    async def pods(self, namespace: str, selector: str) -> Sequence[Object]:
        """Those that have the labels; of selectors it knows equality only."""
        labels = dict(one.split("=", 1) for one in selector.split(","))
        return [reduce_pod(pod) for pod in self.pod_list if labels.items() <= pod["metadata"]["labels"].items()]

    async def replica_sets(self, namespace: str, selector: str) -> Sequence[Object]:
        self.sets_listed += 1
        return copy.deepcopy(self.sets)

    async def secret(self, namespace: str, name: str) -> Object:
        keys: dict[str, str | bytes] = {"ADMIN_TOKEN": TOKEN, **self.secrets.get(name, {})}
        raw = {key: value.encode() if isinstance(value, str) else value for key, value in keys.items()}
        data = {key: base64.b64encode(value).decode() for key, value in raw.items()}
        return {"metadata": {"name": name, "labels": dict(self.secret_labels)}, "data": data}

    async def config_map(self, namespace: str, name: str) -> Object:
        if name not in self.config_maps:
            raise Missing(f"configmaps/{name}")
        return copy.deepcopy(self.config_maps[name])

    async def apply_config_map(self, namespace: str, body: Object) -> None:
        name = body["metadata"]["name"]
        now = self.config_maps.get(name, {}).get("metadata", {}).get("resourceVersion")
        if body["metadata"].get("resourceVersion", now) != now:
            raise Conflict(name)
        self.config_maps[name] = copy.deepcopy(body)
        self._config_map_writes += 1
        self.config_maps[name]["metadata"]["resourceVersion"] = str(self._config_map_writes)

    async def set_replicas(self, namespace: str, name: str, version: str, replicas: int) -> None:
        found = self.deployments[name]
        if found["metadata"]["resourceVersion"] != version:
            raise Conflict(name)
        found["metadata"]["resourceVersion"] = str(int(version) + 1)
        found["spec"]["replicas"] = replicas

    async def set_pacing(
        self,
        namespace: str,
        name: str,
        version: str,
        *,
        minimum: int,
        deadline: int | None,
        annotation: tuple[str, str | None],
    ) -> None:
        found = self.deployments[name]
        if found["metadata"]["resourceVersion"] != version:
            raise Conflict(name)
        if deadline is not None:
            found["spec"]["progressDeadlineSeconds"] = deadline
        if found["spec"].get("progressDeadlineSeconds", 600) <= minimum:
            raise httpx.HTTPError("progressDeadlineSeconds: must be greater than minReadySeconds")
        found["spec"]["minReadySeconds"] = minimum
        found["metadata"]["resourceVersion"] = str(int(version) + 1)
        annotations = found["metadata"].setdefault("annotations", {})
        annotations.pop(annotation[0], None)
        if annotation[1] is not None:
            annotations[annotation[0]] = annotation[1]

    async def annotate_template(self, namespace: str, name: str, version: str, annotation: str, value: str) -> None:
        found = self.deployments[name]
        if found["metadata"]["resourceVersion"] != version:
            raise Conflict(name)
        found["metadata"]["resourceVersion"] = str(int(version) + 1)
        found["metadata"]["generation"] += 1
        template = found["spec"].setdefault("template", {})
        annotations = template.setdefault("metadata", {}).setdefault("annotations", {})
        annotations.pop(annotation, None)
        if value:
            annotations[annotation] = value

    async def mark_pod(
        self,
        namespace: str,
        name: str,
        uid: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        annotations: Mapping[str, str | None] | None = None,
    ) -> None:
        metadata = self.pod(name)["metadata"]
        if metadata["uid"] != uid:
            raise Conflict(name)
        for kind, changes in (("labels", labels), ("annotations", annotations)):
            for key, value in (changes or {}).items():
                metadata[kind].pop(key, None)
                if value is not None:
                    metadata[kind][key] = value

    async def adopt_replicas(self, namespace: str, name: str, version: str, replicas: int) -> None:
        self.fleet_replicas.append(replicas)

    async def has_fleet(self, namespace: str, name: str, uid: str) -> bool:
        return not self.gone

    async def set_status(self, namespace: str, name: str, status: Object) -> None:
        if self.gone:
            raise Missing(f"socketfleets/{name}")
        self.statuses.append(copy.deepcopy(status))

    async def lease(self, namespace: str, name: str) -> Object:
        if name not in self.leases:
            raise Missing(f"leases/{name}")
        return copy.deepcopy(self.leases[name])

    async def create_lease(self, namespace: str, body: Object) -> Object:
        name = body["metadata"]["name"]
        if name in self.leases:
            raise Conflict(name)
        self.leases[name] = copy.deepcopy(body)
        return self._written(name)

    async def set_lease(self, namespace: str, name: str, version: str, spec: Object) -> Object:
        found = await self.lease(namespace, name)
        if found["metadata"]["resourceVersion"] != version:
            raise Conflict(name)
        self.leases[name]["spec"] |= spec
        return self._written(name)

    def _written(self, name: str) -> Object:
        self.lease_writes += 1
        self.leases[name]["metadata"]["resourceVersion"] = str(self.lease_writes)
        return copy.deepcopy(self.leases[name])

    async def create_event(self, namespace: str, body: Object) -> None:
        self.events.append(body)

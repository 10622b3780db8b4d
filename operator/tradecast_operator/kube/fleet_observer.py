"""Observing one fleet: its Deployment and pods from Kubernetes, what its servers report, and whom to trust."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tradecast_operator.clients.pod_http import PodClient
from tradecast_operator.clients.server_admin import KnownServers, ServerAdmin, Target
from tradecast_operator.kube.admin_token import AdminToken
from tradecast_operator.kube.client import Kubernetes, Object
from tradecast_operator.kube.consent import ADMIN_LABEL, REDIS_LABEL, SecretRefused
from tradecast_operator.kube.observe import ask_servers, is_rolling, list_revisions, observe_fleet, target_of
from tradecast_operator.kube.owners import find_revision, owner_of, replica_sets_of, split_pods
from tradecast_operator.kube.pods.cache import PodCache
from tradecast_operator.kube.selector import format_selector
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning import autoscaler_metric
from tradecast_operator.planning.conditions import list_names


@dataclass(frozen=True, slots=True)
class AdminAccess:
    """How admin ports are reached.

    Attributes:
        client: Makes the requests.
        limit: Bounds the concurrent requests.
        strict: Whether Secrets without their label, and servers that accept no signed requests, are refused.
    """

    client: PodClient
    limit: asyncio.Semaphore
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ObservedFleet:
    """A fleet at one moment, and what is needed to act on it.

    Attributes:
        seen: What decisions are made by.
        pods: The Deployment's pods.
        foreign_pods: Names of other pods that its selector matches.
        selector: That selector.
        admin: The servers' admin ports.
        refusal: Why no token was read from its Secret; None: one was, or there is no Secret.
        unlabelled: Whether that Secret was read although it lacks its label.
    """

    seen: Observation
    pods: Sequence[Object]
    foreign_pods: Sequence[str]
    selector: str
    admin: ServerAdmin
    refusal: SecretRefused | None
    unlabelled: bool

    @property
    def targets(self) -> Mapping[str, Target]:
        """How to reach each pod's server, by the pod's name."""
        return {pod["metadata"]["name"]: target_of(pod) for pod in self.pods}


class FleetObserver:
    """Observes one fleet.

    Args:
        kubernetes: The API.
        namespace: The fleet's namespace.
        access: How admin ports are reached.
    """

    def __init__(self, kubernetes: Kubernetes, namespace: str, access: AdminAccess) -> None:
        self._pods = PodCache(kubernetes, namespace)
        self._token = AdminToken(kubernetes, namespace, strict=access.strict)
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._access = access
        self._known = KnownServers()
        self._silent: dict[str, float] = {}
        self._replica_sets: frozenset[str] = frozenset()
        self._replica_sets_of = ""
        self._reading = autoscaler_metric.Reading()

    def expire_token(self) -> None:
        """Read the token again next time: the spec may name another Secret."""
        self._token.expire()

    async def close(self) -> None:
        """Stop the background tasks."""
        await self._pods.close()

    def count_connections(self, spec: Spec) -> int:
        """The number for the autoscaler. Raises autoscaler_metric.Unknown."""
        return autoscaler_metric.count_connections(self._reading, time.time(), spec.metric)

    async def read_deployment(self, spec: Spec) -> Object:
        """The Deployment. Raises Missing, InvalidName or httpx.HTTPError."""
        return await self._kubernetes.deployment(self._namespace, spec.deployment)

    async def observe(self, deployment: Object, spec: Spec, *, ask: bool = True) -> ObservedFleet:
        """Observe the fleet.

        Args:
            deployment: Its Deployment.
            spec: What is asked for.
            ask: Whether its servers are asked, too.

        Raises:
            Missing: A Secret or ReplicaSet is missing.
            InvalidName: Nothing can have the name of the Secret.
            httpx.HTTPError: Kubernetes refuses, or does not answer in time.
        """
        selector = format_selector(deployment["spec"]["selector"])
        pods, foreign_pods = await self._list_pods(deployment, selector)
        admin = ServerAdmin(
            self._access.client,
            spec.admin.port,
            await self._token.read(spec.admin),
            self._known,
            self._access.limit,
            bearer=not self._access.strict,
        )
        reports = await ask_servers(pods, admin, self._silent) if ask else {}
        if admin.refused:  # the Secret may have another token by now
            self._token.expire()
        seen = observe_fleet(
            deployment, pods, reports, time.time(), await self._find_revision(deployment, pods, selector)
        )
        if ask:
            self._reading = autoscaler_metric.update_reading(seen, self._reading, spec.metric)
        unlabelled = not self._token.current.consented
        return ObservedFleet(
            seen, pods, foreign_pods, selector, admin, refusal=self._token.refusal, unlabelled=unlabelled
        )

    async def _find_revision(self, deployment: Object, pods: Sequence[Object], selector: str) -> str:
        """The revision that the Deployment asks for, if that is in question: there are pods of several, or none."""
        revisions = list_revisions(pods)
        if len(revisions) == 1 and not is_rolling(deployment, revisions):
            return next(iter(revisions))
        return find_revision(deployment, await self._kubernetes.replica_sets(self._namespace, selector))

    async def _list_pods(self, deployment: Object, selector: str) -> tuple[Sequence[Object], Sequence[str]]:
        """The Deployment's pods, and the names of others that its selector matches."""
        pods = await self._pods.read(selector, int(deployment.get("status", {}).get("replicas", 0)))
        uid = str(deployment["metadata"].get("uid", ""))
        if uid != self._replica_sets_of:
            self._replica_sets, self._replica_sets_of = frozenset(), uid
        ours, others = split_pods(pods, self._replica_sets)
        if any(owner_of(pod, "ReplicaSet") for pod in others):  # perhaps of a new ReplicaSet
            found = await self._kubernetes.replica_sets(self._namespace, selector)
            self._replica_sets = replica_sets_of(deployment, found)
            ours, others = split_pods(pods, self._replica_sets)
        uids = {pod["metadata"]["uid"] for pod in ours}
        self._known.keep(uids, self._replica_sets)
        self._silent = {uid: at for uid, at in self._silent.items() if uid in uids}
        return ours, [pod["metadata"]["name"] for pod in others]


def find_trust_problems(fleet: ObservedFleet, spec: Spec, unlabelled_redis_secret: str) -> Sequence[tuple[str, str]]:
    """What speaks against the trust in Secrets, pods and servers: reasons and messages, the worst first.

    Args:
        fleet: The fleet, after everything was sent to its servers.
        spec: What is asked for.
        unlabelled_redis_secret: The Secret with the Redis URL, if it lacks its label; else empty.
    """
    problems: list[tuple[str, str]] = []
    if fleet.refusal is not None:
        problems.append((fleet.refusal.reason, str(fleet.refusal)))
    behind = [pod["metadata"]["name"] for pod in fleet.pods if pod["metadata"]["uid"] in fleet.admin.behind]
    if behind:
        message = "servers know another ADMIN_TOKEN than the first one of the Secret: they read it when they start"
        problems.append(
            ("TokenBehind", f"{message}: {list_names(behind)}; restart them: kubectl rollout restart deployment")
        )
    unlabelled = [(spec.admin.secret, ADMIN_LABEL)] if fleet.unlabelled else []
    unlabelled += [(unlabelled_redis_secret, REDIS_LABEL)] if unlabelled_redis_secret else []
    problems += [
        ("SecretNotLabelled", f"Secret {name} lacks the label {label}=true: the next version will not read it")
        for name, label in unlabelled
    ]
    bearers = [pod["metadata"]["name"] for pod in fleet.pods if pod["metadata"]["uid"] in fleet.admin.bearers]
    if bearers:
        message = "the ADMIN_TOKEN itself was sent to servers that accept no signed requests"
        problems.append(("TokenSent", f"{message}: {list_names(bearers)}; the next version will not send it"))
    if fleet.foreign_pods:
        message = "the Deployment's selector matches pods that do not belong to it; they are ignored"
        problems.append(("ForeignPods", f"{message}: {list_names(fleet.foreign_pods)}"))
    return problems

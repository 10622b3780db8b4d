"""Tuning the adapter of one fleet: observes Redis, has a decision made, writes it, and returns what to report."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import httpx
import structlog

from tradecast_operator.clients.redis_info import RedisInfoClient
from tradecast_operator.kube.client import Conflict, InvalidName, Kubernetes, Missing, Object
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.kube.observe import MODE_MARK
from tradecast_operator.model.actions import Action
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.conditions import Condition
from tradecast_operator.planning.rollout import predict_too_fast_rollout
from tradecast_operator.reconcile.config_map import AdapterConfigMap, ConfigMapStore
from tradecast_operator.reconcile.redis_watcher import RedisInfo, RedisWatcher
from tradecast_operator.tuning.mode_obstacles import find_rollout_obstacle
from tradecast_operator.tuning.plan import plan_tuning
from tradecast_operator.tuning.redis_limits import RedisWatch
from tradecast_operator.tuning.server_adapter import read_adapter
from tradecast_operator.tuning.snapshot import Decision, Snapshot, TuningState

log: Final = structlog.stdlib.get_logger("tradecast.operator")


@dataclass(frozen=True, slots=True)
class RoundResult:
    """The outcome of a round of tuning.

    Attributes:
        actions: To be reported as events.
        conditions: AdapterTuned and RedisLimited.
        status: Parts of the status.
        unlabelled_secret: The Secret that was read although it lacks its label; empty: there is none.
    """

    actions: Sequence[Action]
    conditions: Sequence[Condition]
    status: Object
    unlabelled_secret: str = ""


class AdapterTuner:
    """Tunes the adapter of one fleet.

    Args:
        kubernetes: The API.
        namespace: The fleet's namespace.
        fleet: The fleet's name.
        lease: Without the Lease nothing is written.
        redis: Asks Redis; None: through the network.
        strict: Whether a Secret without its label is refused.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        namespace: str,
        fleet: str,
        lease: Leaseholder,
        redis: RedisInfo | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._fleet = fleet
        self._lease = lease
        self._config_maps = ConfigMapStore(kubernetes, namespace, lease)
        self._redis = RedisWatcher(kubernetes, namespace, redis or RedisInfoClient(), strict=strict)
        self._state = TuningState()

    async def run_round(self, seen: Observation, spec: Spec, *, act: bool) -> RoundResult:
        """Observe Redis, decide, write.

        Args:
            seen: The fleet.
            spec: What is asked for.
            act: Whether anything may be changed.

        Errors of Kubernetes are reported in the condition: scaling does not wait for the tuning.

        Raises:
            NotHeld: Another operator may write now.
        """
        await self._redis.observe(spec.redis_adapter, seen.time)
        limited = self._redis.describe(spec.redis_adapter)
        try:
            result = await self._tune(seen, spec, limited, act=act)
        except (httpx.HTTPError, Conflict, Missing, InvalidName) as error:
            refused = Condition("AdapterTuned", "Unknown", "KubernetesRefuses", f"ConfigMap: {type(error).__name__}")
            result = RoundResult((), (refused, limited), {})
        return replace(result, unlabelled_secret=self._redis.unlabelled)

    async def _tune(self, seen: Observation, spec: Spec, limited: Condition, *, act: bool) -> RoundResult:
        rules = spec.redis_adapter
        name = rules.config_map_of(self._fleet)
        apply = act and rules.writes
        found = await self._config_maps.read(name) if apply else AdapterConfigMap()
        if found.is_foreign:
            return self._refuse_foreign(name, limited)
        snapshot = take_snapshot(seen, spec, self._redis.watch, name)
        decision = plan_tuning(snapshot, rules, found.record, self._state, apply=apply)
        actions = [*decision.actions, *await self._write(spec, seen, found, decision)]
        # What is remembered holds only for what was written.
        self._state = decision.state
        interrupted = None if apply else await self._find_interrupted_change(snapshot, name)
        conditions = (interrupted or decision.condition, limited)
        return RoundResult(actions, conditions, {"adapter": dict(decision.status)})

    async def _write(
        self, spec: Spec, seen: Observation, found: AdapterConfigMap, decision: Decision
    ) -> Sequence[Action]:
        """Write what was decided, or restore what somebody else has changed; what to report besides."""
        name = spec.redis_adapter.config_map_of(self._fleet)
        if decision.record is not None:
            await self._config_maps.write(name, decision.record, found)
        elif found.record is not None and found.is_changed:
            await self._config_maps.write(name, found.record, found)
            message = f"somebody else has changed ConfigMap {name}: revision {found.record.revision} is restored"
            return (Action(reason="AdapterRestored", message=message, warning=True),)
        elif decision.mark is not None:
            await self._roll(spec.deployment, seen.version, decision.mark)
        return ()

    async def _roll(self, deployment: str, version: str, mark: str) -> None:
        """Annotate the Deployment's pod template, which rolls it."""
        try:
            async with self._lease.acting():
                await self._kubernetes.annotate_template(self._namespace, deployment, version, MODE_MARK, mark)
        except Conflict:  # its status changes all the time: the next round has seen it
            log.info("Deployment not annotated: it has changed meanwhile", fleet=self._fleet, namespace=self._namespace)

    def _refuse_foreign(self, name: str, limited: Condition) -> RoundResult:
        message = f"ConfigMap {name} is not the operator's: delete it, or name another one in redisAdapter.configMap"
        foreign = Condition("AdapterTuned", "False", "ConfigMapNotOurs", message)
        status = {"recommendedMode": self._state.recommended_mode or "", "revision": ""}
        return RoundResult((), (foreign, limited), {"adapter": status})

    async def _find_interrupted_change(self, snapshot: Snapshot, name: str) -> Condition | None:
        """The condition where a change of mode is incomplete and nothing may be written; None: there is none."""
        if not snapshot.template_mark and all(one.revision is None for one in snapshot.servers):
            return None  # nothing of the operator's is in effect
        found = AdapterConfigMap()
        with contextlib.suppress(httpx.HTTPError, InvalidName):  # an operator that recommends need not have the right
            found = await self._config_maps.read(name)
        if found.body is None or found.is_foreign or found.record is None or found.record.change is None:
            return None
        change = found.record.change
        message = f"{change.name} is incomplete in step {change.step}: nothing may be written now"
        return Condition("AdapterTuned", "False", "ModeChangeLeft", message)


def take_snapshot(seen: Observation, spec: Spec, redis: RedisWatch, config_map: str) -> Snapshot:
    """The adapter of a fleet as it was observed."""
    ready = [pod for pod in seen.pods if pod.ready and not pod.terminating]
    servers = {pod.name: read_adapter(pod) for pod in ready}
    outside = {pod.name: read_adapter(pod) for pod in seen.pods if pod.started and (pod.terminating or not pod.ready)}
    return Snapshot(
        time=seen.time,
        servers=[one for one in servers.values() if one is not None],
        silent=[name for name, one in servers.items() if one is None],
        rolling_out=seen.rolling or seen.behind,
        connections=seen.total,
        wanted=spec.bounded,
        redis=redis,
        rollout_stalled=seen.stuck,
        out_of_service={name: None if one is None else one.mode for name, one in outside.items()},
        busy=find_rollout_obstacle(seen, spec),
        rollout_too_fast=predict_too_fast_rollout(seen) or "",
        template_mark=seen.mode_mark,
        reads_mode=config_map in seen.mode_from,
    )

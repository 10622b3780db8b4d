"""The adapter of one fleet: reads, has it decided, writes, tells."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import structlog

from tradecast_operator.clients.redis_info import Access, RedisSilent, ask_redis
from tradecast_operator.kube.client import FIELD_MANAGER, Conflict, InvalidName, Kubernetes, Missing, Object
from tradecast_operator.kube.consent import (
    LONGEST_CERTIFICATES,
    LONGEST_URL,
    REDIS_LABEL,
    SecretRefused,
    consents,
    value_of,
)
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.kube.observe import MODE_KEY, MODE_MARK
from tradecast_operator.model.actions import Action
from tradecast_operator.model.adapter_spec import RedisAdapter
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.conditions import Condition
from tradecast_operator.planning.rollout import would_be_too_fast
from tradecast_operator.tuning.confirmation import decide
from tradecast_operator.tuning.mode_change import why_busy
from tradecast_operator.tuning.redis_limits import RedisFacts, Watched, watch, what_to_do
from tradecast_operator.tuning.rules import adapter_of
from tradecast_operator.tuning.state import Look, Memory, State

# On the ConfigMap: what is written down for a new operator.
STATE: Final = "tradecast.dev/adapter-state"
KEY: Final = "adapter.yaml"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
# Seconds between two questions to Redis.
ASK_EVERY: Final = 15.0
log = structlog.stdlib.get_logger("tradecast.operator")


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a round.

    Attributes:
        actions: To be told as events.
        conditions: AdapterTuned and RedisLimited.
        status: Parts of the status.
    """

    actions: Sequence[Action]
    conditions: Sequence[Condition]
    status: Object


class Tuner:
    """Tunes the adapter of one fleet.

    Args:
        kubernetes: The API.
        namespace: Where the fleet is.
        fleet: Its name.
        lease: Without it nothing is written.
        ask: Asks Redis.
        strict: Whether a Secret that does not consent is refused.

    Attributes:
        unlabelled: The Secret that was read though it does not consent; empty: there is none.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        namespace: str,
        fleet: str,
        lease: Leaseholder,
        ask: Callable[[str, Access], Awaitable[RedisFacts]] = ask_redis,
        *,
        strict: bool = False,
    ) -> None:
        self.unlabelled = ""
        self._strict = strict
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._fleet = fleet
        self._lease = lease
        self._ask = ask
        self._memory = Memory()
        self._redis = Watched()
        self._asked = 0.0
        self._silent = ""
        self._silent_why = "Silent"

    async def round(self, seen: Observation, spec: Spec, *, act: bool) -> Told:
        """Look, decide, write.

        Args:
            seen: The fleet.
            spec: What is asked for.
            act: Whether anything may be changed.

        What Kubernetes refuses is told in the condition: replicas do not wait for figures.

        Raises:
            NotHeld: Another operator may write now.
        """
        rules = spec.redis_adapter
        await self._watch_redis(rules, seen.time)
        limited = self._limited(rules)
        try:
            return await self._tune(seen, spec, limited, act=act)
        except (httpx.HTTPError, Conflict, Missing, InvalidName) as error:
            refused = Condition("AdapterTuned", "Unknown", "KubernetesRefuses", f"ConfigMap: {type(error).__name__}")
            return Told((), (refused, limited), {})

    async def _tune(self, seen: Observation, spec: Spec, limited: Condition, *, act: bool) -> Told:
        rules = spec.redis_adapter
        name = rules.config_map_of(self._fleet)
        apply = act and rules.writes
        found = await self._config_map(name) if apply else None
        state = _state(found)
        if found is not None and not _is_ours(found):
            message = (
                f"ConfigMap {name} is not the operator's: remove it, or name another one in redisAdapter.configMap"
            )
            foreign = Condition("AdapterTuned", "False", "ConfigMapNotOurs", message)
            return Told(
                (), (foreign, limited), {"adapter": {"recommendedMode": self._memory.mode or "", "revision": ""}}
            )
        # What Redis said once says nothing of its memory now.
        redis = replace(self._redis, facts=None) if self._silent else self._redis
        look = _look(seen, spec, redis, name)
        decision = decide(look, rules, state, self._memory, apply=apply)
        told = list(decision.actions)
        if decision.state is not None:
            await self._write(name, decision.state, found)
        elif found is not None and state is not None and not _says(found, state):
            await self._write(name, state, found)
            message = f"ConfigMap {name} was changed by somebody else, and has revision {state.revision} again"
            told.append(Action(reason="AdapterRestored", message=message, warning=True))
        elif decision.mark is not None:
            await self._mark(spec.deployment, seen.version, decision.mark)
        # What is remembered holds for what was written only.
        self._memory = decision.memory
        left = None if apply else await self._left(look, name)
        return Told(told, (left or decision.condition, limited), {"adapter": dict(decision.status)})

    async def _left(self, look: Look, name: str) -> Condition | None:
        """That a change of mode has been left half done, where nothing may be written; None: none is to be seen."""
        if not look.mark and all(one.revision is None for one in look.servers):
            return None  # nothing of the operator's is in force
        found = None
        with contextlib.suppress(httpx.HTTPError, InvalidName):  # who only recommends need not have the right
            found = await self._config_map(name)
        state = _state(found)
        if found is None or not _is_ours(found) or state is None or state.change is None:
            return None
        message = f"{state.change.name} is left half done in step {state.change.step}: nothing may be written now"
        return Condition("AdapterTuned", "False", "ModeChangeLeft", message)

    async def _watch_redis(self, rules: RedisAdapter, now: float) -> None:
        secret = rules.redis_secret
        if secret is None:
            self._redis, self._silent, self.unlabelled = Watched(), "", ""
            return
        if 0 <= now - self._asked < ASK_EVERY:
            return
        self._asked = now
        self._silent_why = "Silent"
        try:
            found = await self._kubernetes.secret(self._namespace, secret.name)
            consented = consents(found, secret.name, REDIS_LABEL, strict=self._strict)
            self.unlabelled = "" if consented else secret.name
            url, ca, user, password = (
                value_of(found, secret.name, key, longest)
                for key, longest in (
                    (secret.key, LONGEST_URL),
                    ("ca.crt", LONGEST_CERTIFICATES),
                    ("REDIS_SENTINEL_USERNAME", LONGEST_URL),
                    ("REDIS_SENTINEL_PASSWORD", LONGEST_URL),
                )
            )
            if not url:
                raise RedisSilent(f"Secret {secret.name} has no key {secret.key}")
            self._redis, self._silent = watch(self._redis, await self._ask(url, Access(ca, user, password)), now), ""
        except Missing:
            self._silent = f"there is no Secret {secret.name}"
        except SecretRefused as refused:
            self._silent, self._silent_why = str(refused), refused.reason
        except (RedisSilent, InvalidName) as error:
            self._silent = str(error)
        except httpx.HTTPError:
            self._silent = f"Secret {secret.name} cannot be read"

    def _limited(self, rules: RedisAdapter) -> Condition:
        facts = self._redis.facts
        if rules.redis_secret is None:
            return Condition("RedisLimited", "Unknown", "NotAsked", "redisAdapter.redisSecret names no Secret")
        if self._silent or facts is None:
            return Condition(
                "RedisLimited", "Unknown", self._silent_why, self._silent or "Redis has not been asked yet"
            )
        if self._redis.is_limit:
            reason = "".join(self._redis.limits)
            return Condition("RedisLimited", "True", reason, what_to_do(self._redis, facts))
        return Condition("RedisLimited", "False", "Enough", "memory, evictions and its main thread are within limits")

    async def _config_map(self, name: str) -> Object | None:
        try:
            return await self._kubernetes.config_map(self._namespace, name)
        except Missing:
            return None

    async def _mark(self, deployment: str, version: str, mark: str) -> None:
        """Have the Deployment rolled."""
        try:
            async with self._lease.acting():
                await self._kubernetes.annotate_template(self._namespace, deployment, version, MODE_MARK, mark)
        except Conflict:  # its status is written all the time: the next round has seen it
            log.info("the Deployment is not annotated: it has changed", fleet=self._fleet, namespace=self._namespace)

    async def _write(self, name: str, state: State, found: Object | None) -> None:
        """Write it over what was found, and over nothing else."""
        # Without an owner: a SocketFleet that is deleted leaves its servers as they are, with their figures.
        body: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": self._namespace,
                "labels": {MANAGED_BY: FIELD_MANAGER},
                "annotations": {STATE: state.written()},
                **({"resourceVersion": found["metadata"]["resourceVersion"]} if found is not None else {}),
            },
            "data": {KEY: state.content, **({MODE_KEY: state.mode} if state.mode else {})},
        }
        async with self._lease.acting():
            await self._kubernetes.apply_config_map(self._namespace, body)


def _is_ours(found: Object) -> bool:
    """Whether the operator has made it: a person's is not overwritten."""
    return bool((found["metadata"].get("labels") or {}).get(MANAGED_BY) == FIELD_MANAGER)


def _state(found: Object | None) -> State | None:
    annotations: Mapping[str, Any] = (found or {}).get("metadata", {}).get("annotations") or {}
    return State.read(str(annotations.get(STATE, "")))


def _says(found: Object, state: State) -> bool:
    """Whether a ConfigMap says what is written down beside it."""
    data = found.get("data") or {}
    return data.get(KEY) == state.content and data.get(MODE_KEY, "") == state.mode


def _look(seen: Observation, spec: Spec, redis: Watched, config_map: str) -> Look:
    ready = [pod for pod in seen.pods if pod.ready and not pod.terminating]
    servers = {pod.name: adapter_of(pod) for pod in ready}
    outside = {pod.name: adapter_of(pod) for pod in seen.pods if pod.started and (pod.terminating or not pod.ready)}
    return Look(
        time=seen.time,
        servers=[said for said in servers.values() if said is not None],
        silent=[name for name, said in servers.items() if said is None],
        changing=seen.rolling or seen.behind,
        connections=seen.total,
        wanted=spec.bounded,
        redis=redis,
        stuck=seen.stuck,
        outside={name: None if said is None else said.mode for name, said in outside.items()},
        busy=why_busy(seen, spec),
        too_many=would_be_too_fast(seen) or "",
        mark=seen.mode_mark,
        takes_mode=config_map in seen.mode_from,
    )

"""Tuning the adapter of a fleet, with Kubernetes in memory."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, Granted
from kit.kubernetes.socket_fleets import NOW, pod, seen, spec
from tradecast.config.settings import Settings
from tradecast.runtime_config.overrides import extract_runtime_settings
from tradecast_operator.clients.redis_info import Access, RedisSilent
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.kube.observe import MODE_MARK
from tradecast_operator.model.adapter_spec import RedisAdapter, RedisSecret
from tradecast_operator.model.observation import Observation, Stats
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.conditions import Condition
from tradecast_operator.reconcile.adapter import AdapterTuner, RoundResult
from tradecast_operator.reconcile.config_map import KEY, STATE
from tradecast_operator.tuning.record import compute_revision
from tradecast_operator.tuning.redis_limits import RedisFacts

FIGURES = extract_runtime_settings(Settings(redis_url="redis://x")).model_dump()
URL = "redis://operator:secret@redis"


def asked(**fields: Any) -> Spec:
    rules = RedisAdapter(**{"apply": "figures", "pinned": {"publish_batch": 7}, **fields})
    return replace(spec(2), deployment="servers", redis_adapter=rules)


def fleet(now: float = NOW, figures: Mapping[str, float] | None = None, revision: str | None = None) -> Observation:
    """Two servers that have this in force."""
    force = {**FIGURES, **(figures or {})}
    said = {
        "mode": "pubsub",
        "inForce": force,
        "source": {name: "file" if name in (figures or {}) else "settings" for name in force},
        "revision": revision,
        "seen": revision,
        "error": None,
        "traffic": {"publishedPerSecond": 1.0, "waiting": 0, "channels": 1000, "awaySeconds": 0.0},
    }
    return seen([pod(name, stats=Stats(10, adapter=said)) for name in "ab"], time=now)


class Redis:
    """A Redis that says what the test wants."""

    def __init__(self) -> None:
        self.facts: RedisFacts | None = RedisFacts()
        self.urls: list[str] = []
        self.access = Access()

    async def read_facts(self, url: str, access: Access) -> RedisFacts:
        self.urls.append(url)
        self.access = access
        if self.facts is None:
            raise RedisSilent("Redis does not answer INFO: TimeoutError")
        return self.facts


def rolled(
    now: float, mode: str = "pubsub", both: float = 0, revision: str | None = None, **fields: Any
) -> Observation:
    """Two servers with a Redis for either mode, whose Deployment takes the mode from the operator's ConfigMap."""
    figures = {"publish_both": both} if both else {}
    before = fleet(now, figures, revision)
    more = {"mode": mode, "modes": ["single", "pubsub", "sharded"], "other": {"mode": "?", "up": True}}
    pods = [
        replace(one, stats=replace(one.stats, adapter={**one.stats.adapter, **more}))
        for one in before.pods
        if one.stats
    ]
    return replace(before, pods=pods, mode_from=frozenset({"fleet-adapter"}), **fields)


def of(told: RoundResult, kind: str) -> Condition:
    return next(condition for condition in told.conditions if condition.type == kind)


def tuner(kubernetes: FakeKubernetes, redis: Redis | None = None) -> AdapterTuner:
    return AdapterTuner(kubernetes, NAMESPACE, "fleet", Granted(), redis or Redis())


async def test_a_change_is_written_with_its_state_and_taken_up_by_another_operator() -> None:
    kubernetes = FakeKubernetes()
    told = await tuner(kubernetes).run_round(fleet(), asked(), act=True)
    written = kubernetes.config_maps["fleet-adapter"]
    assert written["data"] == {KEY: "publish_batch: 7\n"}
    assert [action.reason for action in told.actions] == ["AdapterTuned"]
    assert of(told, "AdapterTuned").reason == "Waiting"
    revision = told.actions[0].message.split()[1].rstrip(":")
    other = tuner(kubernetes)
    now = NOW + 100
    force = {"publish_batch": 7.0}
    assert (
        of(await other.run_round(fleet(now, force, revision), asked(), act=True), "AdapterTuned").reason == "Watching"
    )
    told = await other.run_round(fleet(now + 61, force, revision), asked(), act=True)
    assert of(told, "AdapterTuned") == Condition("AdapterTuned", "True", "InForce", f"revision {revision} is in effect")
    assert told.status == {"adapter": {"recommendedMode": "pubsub", "revision": revision}}


async def test_nothing_is_written_where_that_is_not_wanted() -> None:
    kubernetes = FakeKubernetes()
    told = await tuner(kubernetes).run_round(fleet(), asked(), act=False)
    assert kubernetes.config_maps == {}
    assert [action.reason for action in told.actions] == ["AdapterRecommended"]
    await tuner(kubernetes).run_round(fleet(), asked(apply="recommend"), act=True)
    assert kubernetes.config_maps == {}


async def test_what_another_operator_has_written_since_it_was_read_is_not_overwritten() -> None:
    kubernetes = FakeKubernetes()
    mine = tuner(kubernetes)
    await mine.run_round(fleet(), asked(), act=True)
    (name,) = kubernetes.config_maps
    read = kubernetes.config_map

    async def meanwhile(namespace: str, name: str) -> Object:
        found = await read(namespace, name)
        await kubernetes.apply_config_map(namespace, {**found, "data": {KEY: "publish_batch: 9\n"}})
        return found

    kubernetes.config_map = meanwhile  # type: ignore[method-assign]
    kubernetes.config_maps[name]["data"][KEY] = "somebody's"
    told = await mine.run_round(fleet(), asked(), act=True)
    assert kubernetes.config_maps[name]["data"][KEY] == "publish_batch: 9\n"
    assert of(told, "AdapterTuned").reason == "KubernetesRefuses"


async def test_a_persons_config_map_is_not_overwritten() -> None:
    kubernetes = FakeKubernetes()
    mine: Object = {"metadata": {"name": "mine"}, "data": {KEY: "publish_batch: 9\n"}}
    kubernetes.config_maps["mine"] = mine
    told = await tuner(kubernetes).run_round(fleet(), asked(config_map="mine"), act=True)
    assert kubernetes.config_maps["mine"] == mine
    assert of(told, "AdapterTuned").reason == "ConfigMapNotOurs"


async def test_what_somebody_has_changed_in_the_operators_own_is_put_back() -> None:
    kubernetes = FakeKubernetes()
    one = tuner(kubernetes)
    await one.run_round(fleet(), asked(), act=True)
    kubernetes.config_maps["fleet-adapter"]["data"][KEY] = "publish_batch: 9\n"
    told = await one.run_round(fleet(NOW + 5), asked(), act=True)
    assert kubernetes.config_maps["fleet-adapter"]["data"] == {KEY: "publish_batch: 7\n"}
    assert [action.reason for action in told.actions] == ["AdapterRestored"]


async def test_a_record_that_somebody_has_damaged_is_written_again() -> None:
    kubernetes = FakeKubernetes()
    await tuner(kubernetes).run_round(fleet(), asked(), act=True)
    kubernetes.config_maps["fleet-adapter"]["metadata"]["annotations"][STATE] = "?"
    told = await tuner(kubernetes).run_round(fleet(NOW + 5), asked(), act=True)
    assert [action.reason for action in told.actions] == ["AdapterTuned"]
    assert kubernetes.config_maps["fleet-adapter"]["metadata"]["annotations"][STATE] != "?"


async def test_what_kubernetes_refuses_is_tried_again() -> None:
    kubernetes = FakeKubernetes()
    apply = kubernetes.apply_config_map

    async def refuse(namespace: str, body: Object) -> None:
        raise httpx.HTTPError("403")

    kubernetes.apply_config_map = refuse  # type: ignore[method-assign]
    one = tuner(kubernetes)
    told = await one.run_round(fleet(), asked(), act=True)
    assert (of(told, "AdapterTuned").status, told.actions) == ("Unknown", ())
    kubernetes.apply_config_map = apply  # type: ignore[method-assign]
    told = await one.run_round(fleet(NOW + 5), asked(), act=True)
    assert [action.reason for action in told.actions] == ["AdapterTuned"]


async def test_the_history_waits_while_redis_is_silent() -> None:
    kubernetes, redis = FakeKubernetes(), Redis()
    kubernetes.secrets["redis"] = {"REDIS_URL": URL}
    redis.facts = RedisFacts(used_memory=95, max_memory=100)
    rules = asked(redis_secret=RedisSecret("redis"), pinned={}, apply="recommend", dwell=0)
    one = tuner(kubernetes, redis)
    assert "history_events 1000 → 640" in (await one.run_round(fleet(), rules, act=True)).actions[0].message
    assert (await one.run_round(fleet(NOW + 15), rules, act=True)).actions, "still full"
    redis.facts = None
    assert not (await one.run_round(fleet(NOW + 30), rules, act=True)).actions


@pytest.mark.parametrize("secret", [None, RedisSecret("redis")])
async def test_the_url_is_reported_nowhere(secret: RedisSecret | None) -> None:
    kubernetes, redis = FakeKubernetes(), Redis()
    kubernetes.secrets["redis"] = {"REDIS_URL": URL}
    told = await tuner(kubernetes, redis).run_round(fleet(), asked(redis_secret=secret), act=True)
    assert "secret@" not in repr((told, kubernetes.config_maps))


ROLL: Mapping[str, Any] = {"apply": "roll", "mode": "sharded", "pinned": {}}


async def test_a_mode_is_written_where_servers_take_it_and_the_pod_template_follows() -> None:
    kubernetes = FakeKubernetes()
    one = tuner(kubernetes)
    told = await one.run_round(rolled(NOW), asked(**ROLL), act=True)
    written = kubernetes.config_maps["fleet-adapter"]
    assert written["data"] == {KEY: "publish_both: 1\n"}
    assert of(told, "AdapterTuned").reason == "ModeRolling"
    revision = compute_revision("publish_both: 1\n")
    for after in (10, 35):
        await one.run_round(rolled(NOW + after, both=1, revision=revision), asked(**ROLL), act=True)
    written = kubernetes.config_maps["fleet-adapter"]
    assert written["data"] == {KEY: "publish_both: 1\n", "mode": "sharded"}
    assert "template" not in kubernetes.deployments["servers"]["spec"]
    # Another operator, in the middle of it; the first time the Deployment has changed meanwhile.
    other = tuner(kubernetes)
    await other.run_round(rolled(NOW + 40, both=1, revision=revision, version="6"), asked(**ROLL), act=True)
    assert "template" not in kubernetes.deployments["servers"]["spec"]
    await other.run_round(rolled(NOW + 45, both=1, revision=revision), asked(**ROLL), act=True)
    annotations = kubernetes.deployments["servers"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {MODE_MARK: "sharded"}
    new: dict[str, Any] = {"mode": "sharded", "mode_mark": "sharded"}
    await other.run_round(rolled(NOW + 200, both=1, revision=revision, **new), asked(**ROLL), act=True)
    assert kubernetes.config_maps["fleet-adapter"]["data"] == {KEY: "{}\n", "mode": "sharded"}
    told = await other.run_round(rolled(NOW + 260, revision=compute_revision("{}\n"), **new), asked(**ROLL), act=True)
    assert [action.reason for action in told.actions] == ["AdapterModeRolled"]
    assert of(told, "AdapterTuned").status == "True"


@pytest.mark.parametrize(("act", "apply"), [(False, "roll"), (True, "recommend")])
async def test_no_mode_is_written_where_that_is_not_wanted(act: bool, apply: str) -> None:
    kubernetes = FakeKubernetes()
    told = await tuner(kubernetes).run_round(rolled(NOW), asked(**{**ROLL, "apply": apply}), act=act)
    assert kubernetes.config_maps == {}
    assert of(told, "AdapterTuned").reason == "ModeDiffers"


async def test_a_change_that_is_paused_stays_where_it_is_and_continues_later() -> None:
    kubernetes = FakeKubernetes()
    one = tuner(kubernetes)
    await one.run_round(rolled(NOW), asked(**ROLL), act=True)
    before = copy.deepcopy(kubernetes.config_maps)
    revision = compute_revision("publish_both: 1\n")
    for after in (10, 300):
        await one.run_round(rolled(NOW + after, both=1, revision=revision), asked(**ROLL), act=False)
    assert kubernetes.config_maps == before
    for after in (305, 330):
        await one.run_round(rolled(NOW + after, both=1, revision=revision), asked(**ROLL), act=True)
    assert kubernetes.config_maps["fleet-adapter"]["data"]["mode"] == "sharded"


@pytest.mark.parametrize(("act", "apply"), [(False, "roll"), (True, "recommend")])
@pytest.mark.parametrize("where", ["rolled", "both"])
async def test_an_incomplete_change_is_reported(act: bool, apply: str, where: str) -> None:
    kubernetes = FakeKubernetes()
    mine = tuner(kubernetes)
    await mine.run_round(rolled(NOW), asked(**ROLL), act=True)
    revision = compute_revision("publish_both: 1\n")
    mark = {"mode_mark": "sharded"} if where == "rolled" else {}
    now = rolled(NOW + 9, both=1, revision=revision if where == "both" else None, **mark)
    told = of(await mine.run_round(now, asked(**{**ROLL, "apply": apply}), act=act), "AdapterTuned")
    assert (told.reason, told.status) == ("ModeChangeLeft", "False")
    assert told.message.startswith("mode pubsub → sharded is incomplete in step both")

    async def refuse(namespace: str, name: str) -> Object:
        raise httpx.HTTPError("403")

    kubernetes.config_map = refuse  # type: ignore[method-assign]
    told = of(await mine.run_round(now, asked(**{**ROLL, "apply": apply}), act=act), "AdapterTuned")
    assert told.reason not in ("ModeChangeLeft", "KubernetesRefuses")


async def test_a_mode_that_somebody_has_changed_is_put_back() -> None:
    kubernetes = FakeKubernetes()
    one = tuner(kubernetes)
    revision = compute_revision("publish_both: 1\n")
    for after in (0, 10, 35):
        await one.run_round(rolled(NOW + after, both=1, revision=revision), asked(**ROLL), act=True)
    kubernetes.config_maps["fleet-adapter"]["data"]["mode"] = "pubsub"
    told = await one.run_round(rolled(NOW + 45, both=1, revision=revision), asked(**ROLL), act=True)
    assert kubernetes.config_maps["fleet-adapter"]["data"]["mode"] == "sharded"
    assert "AdapterRestored" in [action.reason for action in told.actions]


async def test_a_fleet_is_not_rolled_where_its_servers_would_not_take_the_mode() -> None:
    kubernetes = FakeKubernetes()
    told = await tuner(kubernetes).run_round(
        replace(rolled(NOW), mode_from=frozenset({"another"})), asked(**ROLL), act=True
    )
    assert "ADAPTER_MODE from the operator's ConfigMap" in of(told, "AdapterTuned").message
    assert kubernetes.config_maps == {}


async def test_the_lease_is_needed_for_rolling() -> None:
    kubernetes = FakeKubernetes()
    lease = Granted()
    one = AdapterTuner(kubernetes, NAMESPACE, "fleet", lease, Redis())
    revision = compute_revision("publish_both: 1\n")
    for after in (0, 10, 35):
        await one.run_round(rolled(NOW + after, both=1, revision=revision), asked(**ROLL), act=True)
    lease.grant(held=False)
    with pytest.raises(NotHeld):
        await one.run_round(rolled(NOW + 45, both=1, revision=revision), asked(**ROLL), act=True)
    assert "template" not in kubernetes.deployments["servers"]["spec"]

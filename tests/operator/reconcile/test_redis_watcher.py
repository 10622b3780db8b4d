"""Watching the Redis of a fleet."""

from __future__ import annotations

import re

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes
from kit.kubernetes.socket_fleets import NOW
from tradecast_operator.clients.redis_info import Access, RedisSilent
from tradecast_operator.model.adapter_spec import RedisAdapter, RedisSecret
from tradecast_operator.planning.conditions import Condition
from tradecast_operator.reconcile.redis_watcher import RedisWatcher
from tradecast_operator.tuning.redis_limits import RedisFacts

URL = "redis://operator:secret@redis"
WITH_SECRET = RedisAdapter(redis_secret=RedisSecret("redis"))


class Redis:
    """A Redis that answers as the test wants; None: not at all."""

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


async def observed(watcher: RedisWatcher, now: float, rules: RedisAdapter = WITH_SECRET) -> Condition:
    await watcher.observe(rules, now)
    return watcher.describe(rules)


async def test_redis_is_asked_where_a_secret_says_how_and_not_in_every_round() -> None:
    kubernetes, redis = FakeKubernetes(), Redis()
    watcher = RedisWatcher(kubernetes, NAMESPACE, redis)
    limited = await observed(watcher, NOW, RedisAdapter())
    assert (limited.status, limited.reason) == ("Unknown", "NotAsked")
    assert redis.urls == []
    assert "no key REDIS_URL" in (await observed(watcher, NOW)).message
    kubernetes.secrets["redis"] = {"REDIS_URL": URL, "ca.crt": "PEM", "REDIS_SENTINEL_PASSWORD": "spw"}
    for now in (NOW + 15, NOW + 20, NOW + 25):
        assert (await observed(watcher, now)).status == "False"
    assert redis.urls == [URL]
    assert redis.access == Access(ca="PEM", sentinel_password="spw")
    redis.facts = RedisFacts(used_memory=95, max_memory=100)
    limited = await observed(watcher, NOW + 30)
    assert (limited.status, limited.reason) == ("True", "Memory")
    assert "95 % of its memory" in limited.message
    redis.facts = None
    limited = await observed(watcher, NOW + 45)
    assert (limited.status, limited.reason) == ("Unknown", "Silent")
    assert watcher.watch.facts is None, "old values say nothing of its memory now"


async def test_several_limits_make_one_reason_that_kubernetes_allows() -> None:
    kubernetes, redis = FakeKubernetes(), Redis()
    kubernetes.secrets["redis"] = {"REDIS_URL": URL}
    watcher = RedisWatcher(kubernetes, NAMESPACE, redis)
    observations = {
        NOW: RedisFacts(evicted_keys=5, cpu_seconds=(0,)),
        NOW + 20: RedisFacts(used_memory=95, max_memory=100, evicted_keys=6, cpu_seconds=(2,)),
        NOW + 40: RedisFacts(used_memory=95, max_memory=100, evicted_keys=6, cpu_seconds=(20,)),
    }
    reasons = []
    for now, redis.facts in observations.items():
        limited = await observed(watcher, now)
        # Of `metav1.Condition`.
        assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", limited.reason)
        reasons.append((limited.status, limited.reason))
    assert reasons == [("False", "Enough"), ("True", "MemoryEvictions"), ("True", "MemoryEvictionsBusy")]
    assert "95 % of its memory" in limited.message
    assert "evicted keys" in limited.message
    assert "90 % of the time" in limited.message


async def test_a_secret_without_its_label_is_read_and_named_or_refused() -> None:
    kubernetes = FakeKubernetes()
    kubernetes.secrets["redis"] = {"REDIS_URL": URL}
    kubernetes.secret_labels.clear()
    lenient = RedisWatcher(kubernetes, NAMESPACE, Redis())
    assert (await observed(lenient, NOW)).status == "False"
    assert lenient.unlabelled == "redis"
    redis = Redis()
    strict = RedisWatcher(kubernetes, NAMESPACE, redis, strict=True)
    assert (await observed(strict, NOW)).reason == "SecretNotLabelled"
    assert redis.urls == []

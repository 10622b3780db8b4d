"""Watching the Redis of one fleet: asks it for INFO, and says whether it limits the fleet."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

import httpx

from tradecast_operator.clients.redis_info import Access, RedisSilent
from tradecast_operator.kube.client import InvalidName, Kubernetes, Missing, Object
from tradecast_operator.kube.consent import (
    LONGEST_CERTIFICATES,
    LONGEST_URL,
    REDIS_LABEL,
    SecretRefused,
    check_consent,
    value_of,
)
from tradecast_operator.model.adapter_spec import RedisAdapter, RedisSecret
from tradecast_operator.planning.conditions import Condition
from tradecast_operator.tuning.redis_limits import RedisFacts, RedisWatch, describe_limits, observe_redis

# Seconds between two requests to Redis.
ASK_EVERY: Final = 15.0


class RedisInfo(Protocol):
    """Asks a Redis for INFO."""

    async def read_facts(self, url: str, access: Access) -> RedisFacts:
        """The values of INFO. Raises RedisSilent."""


class RedisWatcher:
    """Watches the Redis of one fleet.

    Args:
        kubernetes: The API.
        namespace: The fleet's namespace.
        redis: Asks Redis.
        strict: Whether a Secret without its label is refused.

    Attributes:
        unlabelled: The Secret that was read although it lacks its label; empty: there is none.
    """

    def __init__(self, kubernetes: Kubernetes, namespace: str, redis: RedisInfo, *, strict: bool = False) -> None:
        self.unlabelled = ""
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._redis = redis
        self._strict = strict
        self._watch = RedisWatch()
        self._asked_at = 0.0
        self._failure = ""
        self._failure_reason = "Silent"

    @property
    def watch(self) -> RedisWatch:
        """What is known of Redis. While it does not answer, what it reported once says nothing of its memory now."""
        return replace(self._watch, facts=None) if self._failure else self._watch

    async def observe(self, rules: RedisAdapter, now: float) -> None:
        """Ask Redis, unless that was done less than 15 s ago."""
        secret = rules.redis_secret
        if secret is None:
            self._watch, self._failure, self.unlabelled = RedisWatch(), "", ""
            return
        if 0 <= now - self._asked_at < ASK_EVERY:
            return
        self._asked_at = now
        self._failure_reason = "Silent"
        try:
            url, access = self._read_secret(await self._kubernetes.secret(self._namespace, secret.name), secret)
            facts = await self._redis.read_facts(url, access)
        except Missing:
            self._failure = f"Secret {secret.name} does not exist"
        except SecretRefused as refused:
            self._failure, self._failure_reason = str(refused), refused.reason
        except (RedisSilent, InvalidName) as error:
            self._failure = str(error)
        except httpx.HTTPError:
            self._failure = f"Secret {secret.name} cannot be read"
        else:
            self._watch, self._failure = observe_redis(self._watch, facts, now), ""

    def describe(self, rules: RedisAdapter) -> Condition:
        """The condition RedisLimited."""
        facts = self._watch.facts
        if rules.redis_secret is None:
            return Condition("RedisLimited", "Unknown", "NotAsked", "redisAdapter.redisSecret names no Secret")
        if self._failure:
            return Condition("RedisLimited", "Unknown", self._failure_reason, self._failure)
        if facts is None:
            return Condition("RedisLimited", "Unknown", self._failure_reason, "Redis has not been asked yet")
        if self._watch.is_limit:
            return Condition("RedisLimited", "True", "".join(self._watch.limits), describe_limits(self._watch, facts))
        message = "memory, evictions and the main thread's load are within limits"
        return Condition("RedisLimited", "False", "Enough", message)

    def _read_secret(self, found: Object, secret: RedisSecret) -> tuple[str, Access]:
        """The URL, and what it does not contain. Raises SecretRefused, or RedisSilent where there is no URL."""
        consented = check_consent(found, secret.name, REDIS_LABEL, strict=self._strict)
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
        return url, Access(ca, user, password)

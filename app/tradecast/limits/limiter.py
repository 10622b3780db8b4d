"""Rate limits and quotas as the server uses them: over all servers while Redis answers, else of this server alone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import structlog

from tradecast.background.tasks import TaskSet
from tradecast.causes import SOME_REDIS, explain_error
from tradecast.config.settings import Settings
from tradecast.limits.event_limits import GLOBAL, EventLimits
from tradecast.limits.exhausted import ExhaustedLimits
from tradecast.limits.failover import Failover, RedisAway
from tradecast.limits.memory import MemoryRateStore
from tradecast.limits.quota import LEASE, RENEW_EVERY, Kind, Lease
from tradecast.limits.quota_ledger import QuotaLedger
from tradecast.limits.rates import ALLOWED, Check, LimitResult
from tradecast.limits.redis_store import RedisQuotaStore, RedisRateStore
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import FAILURES

CLEANUP_EVERY = 60.0
PATIENCE = 0.25
PROBE_PATIENCE = 2.0
_BATCH = 2_000
# Before Redis is used again; under a storm of connects each round finds some more leases.
MOST_ROUNDS = 20
_QUIET = 10.0
# Recoveries of a user in a minute: 6 for each of the user's connections, and 60 at least. A client that keeps losing
# its connection reconnects every five seconds.
RECOVERIES = 60
RECOVERIES_EACH = 6
MINUTE_MS = 60_000
# Of one connection without an offset. Its client has received no event yet, or does not send one: each recovery replays
# all that is kept since it joined its rooms.
_BLIND: Sequence[Check] = (("blind recoveries", 5),)
# Never a real user's: a digest stands for those.
_PROBE = "\0probe"
log = structlog.stdlib.get_logger("tradecast.limits")


class LimitObserver(Protocol):
    """Receives what becomes of the limits."""

    def limiter_fallback(self, fallen_back: bool) -> None:
        """Memory took over from Redis, or Redis is back."""
        ...

    def foreign_key(self, of: str) -> None:
        """Foreign data was found under keys of a user's `rates` or `quotas`."""
        ...


class Unobserved(LimitObserver):
    """Ignores everything: for programs without metrics."""

    def limiter_fallback(self, fallen_back: bool) -> None:
        """Nothing."""

    def foreign_key(self, of: str) -> None:
        """Nothing."""


class ForeignKeyLog:
    """Counts and logs foreign data under keys of users' limits.

    Args:
        observer: Counts.
        lines: Writes the log lines.
    """

    def __init__(self, observer: LimitObserver, lines: ThrottledLog) -> None:
        self._observer = observer
        self._lines = lines

    def foreign_key(self, of: str) -> None:
        """Foreign data was found and is removed."""
        self._observer.foreign_key(of)
        sentence = "foreign data under the key of a user's limits: it is removed, and the limits start again"
        self._lines.write(log.warning, sentence, kind=of, limits=of)


class RateLimiter:
    """Limits events per minute, subscriptions and connections per user.

    While Redis is away (no connection, or no answer within a quarter of a second), the request that met this is
    answered from memory, and so are all others until a probe in the background reaches Redis again. Then everything
    that this server's clients hold is registered there again. If limiting itself fails, the event passes. Foreign data
    under the keys of a user's limits concerns that user alone: it is removed, and if it returns, this user is limited
    from memory.

    A user who has exhausted a limit by Redis' counts is refused from memory until the window has moved: a flood of
    events does not become a flood of requests.

    Args:
        settings: The limits.
        redis: None for single-server mode: memory only. It stays the caller's to close.
        observer: Receives changes between Redis and memory, and foreign data.
        lines: Writes the log lines about foreign data.
        lease: Seconds for which Redis counts what a dead server held.
        renew_every: Seconds between renewals of the leases.
        clock: Monotonic, in seconds; for what is counted of lost connections.
    """

    def __init__(
        self,
        settings: Settings,
        redis: RedisClient | None,
        *,
        observer: LimitObserver | None = None,
        lines: ThrottledLog | None = None,
        lease: float = LEASE,
        renew_every: float = RENEW_EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window_ms = settings.rate_limit_window_ms
        self._max_subscriptions = settings.max_subscriptions_per_user
        self._max_connections = settings.max_connections_per_user
        self._limits = EventLimits(settings)
        self._renew_every = renew_every
        self._memory_rates = MemoryRateStore()
        self._window = settings.recovery_window
        self._ledger = QuotaLedger(self._window, clock)
        self._exhausted = ExhaustedLimits()
        self._recoveries: Sequence[Check] = (
            ("recoveries", max(RECOVERIES, RECOVERIES_EACH * settings.max_connections_per_user)),
        )
        self._failure_logged_at = float("-inf")
        self._tasks = TaskSet()
        self._rates: RedisRateStore | None = None
        self._quotas: RedisQuotaStore | None = None
        self._observer = observer or Unobserved()
        self._failover = Failover(self, PATIENCE, SOME_REDIS if redis is None else redis.place)
        if redis is not None:
            foreign_keys = ForeignKeyLog(self._observer, lines or ThrottledLog())
            self._rates = RedisRateStore(redis, foreign_keys)
            self._quotas = RedisQuotaStore(redis, lease, foreign_keys)

    @property
    def max_connections(self) -> int:
        """Connections that a user may have at a time."""
        return self._max_connections

    @property
    def fallen_back(self) -> bool:
        """Whether memory stands in for Redis."""
        return self._failover.away

    # -- life

    async def start(self) -> None:
        """Start renewing leases and cleaning up."""
        self._tasks.spawn(self._every(CLEANUP_EVERY, self._cleanup), name="limits-cleanup")
        if self._quotas is not None:
            self._tasks.spawn(self._every(self._renew_every, self.renew_all), name="limits-renew")

    async def close(self) -> None:
        """Stop, and release what this server's clients still hold."""
        await self._tasks.close()
        await self._failover.close()
        if self._quotas is not None and not self._failover.away:
            with contextlib.suppress(*FAILURES):
                async with asyncio.timeout(2):
                    await self._quotas.release([*self._ledger, *self._ledger.missed_releases])

    # -- rate limits

    async def check_limit(self, user_id: str, event: str) -> LimitResult:
        """Count one event of a user. The result is true if it may pass; otherwise it names the exhausted limit."""
        known = self.known_limit(user_id, event)
        if known is not None:
            return known
        try:
            checks = self._limits.of(event)
            if self._rates is not None and not self._failover.away:
                rates = self._rates
                try:
                    refusal = await self._failover.ask(lambda: rates.try_hit(user_id, checks, self._window_ms))
                except RedisAway:
                    pass
                else:
                    if refusal is None:
                        return ALLOWED
                    self._exhausted.remember(user_id, refusal.limit, refusal.seconds)
                    return LimitResult(refusal.limit)
        except Exception as error:
            self._log_failure("limiting failed: the event passes", error)
            return ALLOWED
        return self.check_limit_here(user_id, event)

    def known_limit(self, user_id: str, event: str) -> LimitResult | None:
        """The refusal by a limit that the user has exhausted by Redis' last answer; None: Redis has to be asked."""
        name = self._exhausted.find(user_id, self._limits.of(event)) if self._exhausted else None
        return None if name is None else LimitResult(name)

    @property
    def is_local(self) -> bool:
        """Whether limits are counted in memory now, so that `check_limit_here` decides."""
        return self._rates is None or self._failover.away

    def check_limit_here(self, user_id: str, event: str) -> LimitResult:
        """As `check_limit`, of this server alone."""
        try:
            exceeded = self._memory_rates.count(user_id, self._limits.of(event), self._window_ms)
        except Exception as error:
            self._log_failure("limiting failed: the event passes", error)
            return ALLOWED
        return ALLOWED if exceeded is None else LimitResult(exceeded)

    def may_recover(self, user_id: str | None, pid: str, *, blind: bool) -> bool:
        """Count a client's attempt to recover its lost connection on this server; False if there are too many.

        Args:
            user_id: Whose connection; None for an anonymous client, which only its private id identifies.
            pid: The private id.
            blind: Whether the client sends no offset.
        """
        of_pid = f"recoveries of {pid}"
        count = self._memory_rates.count
        if count(of_pid if user_id is None else f"recoveries by {user_id}", self._recoveries, MINUTE_MS) is not None:
            return False
        return not blind or count(of_pid, _BLIND, MINUTE_MS) is None

    def cleanup_in_memory(self) -> int:
        """Forget users whose windows are empty; how many. Runs automatically once a minute."""
        return self._memory_rates.cleanup()

    # -- quotas

    async def increment_subscription(self, user_id: str, member: str) -> bool:
        """Count a subscription, named `member`; False if the user has as many as allowed."""
        return await self._acquire("subscriptions", user_id, (member,), self._max_subscriptions)

    async def resume_subscriptions(self, user_id: str, members: Sequence[str]) -> bool:
        """Count those of a connection that resumes: all of them, or none if they would be more than are allowed.

        Those that have stayed counted since it was lost (`lose_subscriptions`) are always granted.
        """
        return not members or await self._acquire("subscriptions", user_id, members, self._max_subscriptions)

    async def lose_subscriptions(self, user_id: str, members: Iterable[str]) -> None:
        """A connection is lost: count its subscriptions for as long as it can be recovered, and no longer."""
        leases = [Lease("subscriptions", user_id, member) for member in members]
        self._ledger.lose(leases)
        if self._quotas is None or not leases:
            return
        quotas = self._quotas
        try:
            await self._failover.ask(lambda: quotas.lose(leases, self._window))
        except RedisAway:
            pass  # in Redis they end with their lease
        except Exception as error:
            self._log_failure("a quota could not be changed", error)

    async def decrement_subscription(self, user_id: str, member: str) -> None:
        """Count it no longer. A member that is not counted is no error."""
        await self._release("subscriptions", user_id, member)

    async def get_subscription_count(self, user_id: str) -> int:
        """How many subscriptions the user has: over all servers, or on this one while Redis is away."""
        return await self._count("subscriptions", user_id)

    async def acquire_connection(self, user_id: str, member: str) -> bool:
        """Count a connection, named `member`; False if the user has as many as allowed."""
        return await self._acquire("connections", user_id, (member,), self._max_connections)

    async def release_connection(self, user_id: str, member: str) -> None:
        """Count it no longer. A member that is not counted is no error."""
        await self._release("connections", user_id, member)

    def hand_over(self, user_id: str, connection: str, subscriptions: Iterable[str]) -> None:
        """Count these no longer here but leave them counted in Redis: the connection resumes, here or elsewhere."""
        self._ledger.drop_held(Lease("connections", user_id, connection))
        self._ledger.lose(Lease("subscriptions", user_id, member) for member in subscriptions)

    async def get_connection_count(self, user_id: str) -> int:
        """How many connections the user has: over all servers, or on this one while Redis is away."""
        return await self._count("connections", user_id)

    async def renew_all(self) -> None:
        """Renew in Redis what this server's clients hold. Runs automatically every 30 s."""
        if self._quotas is None or self._failover.away:
            return
        # A deadline of its own: with many users it is more than one round trip. What is not renewed now is in 30 s.
        try:
            async with asyncio.timeout(self._renew_every):
                await self._renew(self._quotas, list(self._ledger))
        except FAILURES as error:
            log.warning("leases were not renewed", **explain_error(error, self._failover.place).fields())

    async def _acquire(self, kind: Kind, user_id: str, members: Sequence[str], limit: int) -> bool:
        leases = [Lease(kind, user_id, member) for member in members]
        self._ledger.forget_missed(leases)
        try:
            if self._quotas is not None and not self._failover.away:
                quotas = self._quotas
                try:
                    granted = await self._failover.ask(lambda: quotas.acquire_all(kind, user_id, members, limit))
                except RedisAway:
                    pass
                else:
                    if granted:
                        self._ledger.hold(leases)
                    return granted
            granted = await self._ledger.acquire(kind, user_id, members, limit)
            if not granted:
                for lease in leases:
                    self._miss_release(lease)  # Redis may have counted it, and its answer was lost
            return granted
        except Exception as error:
            self._log_failure("a quota could not be checked: it is granted", error)
            self._ledger.hold(leases)
            return True

    async def _release(self, kind: Kind, user_id: str, member: str) -> None:
        lease = Lease(kind, user_id, member)
        self._ledger.release(lease)
        if self._quotas is None:
            return
        quotas = self._quotas
        try:
            await self._failover.ask(lambda: quotas.release([lease]))
        except RedisAway:
            self._miss_release(lease)
        except Exception as error:
            self._log_failure("a quota could not be released", error)
            self._miss_release(lease)

    async def _count(self, kind: Kind, user_id: str) -> int:
        if self._quotas is not None:
            quotas = self._quotas
            with contextlib.suppress(RedisAway):
                return await self._failover.ask(lambda: quotas.count(kind, user_id))
        return await self._ledger.count(kind, user_id)

    def _miss_release(self, lease: Lease) -> None:
        if self._quotas is not None:
            self._ledger.miss_release(lease)

    # -- `RedisDependent`

    async def restore_redis(self) -> None:
        """Check that Redis counts, and register there everything that this server's clients hold."""
        if self._rates is None or self._quotas is None:
            return
        async with asyncio.timeout(PROBE_PATIENCE):
            for user_id in await self._rates.users_everywhere(_PROBE):
                await self._rates.hit(user_id, ((GLOBAL, 2**31),), self._window_ms)
        # What comes and goes meanwhile is sent as well, or Redis would not know of it until the next renewal. After the
        # last round nothing is awaited before Redis is used again.
        sent: set[Lease] = set()
        async with asyncio.timeout(self._renew_every):
            for done in range(MOST_ROUNDS):
                unsent = [lease for lease in self._ledger if lease not in sent]
                if done and not unsent and not self._ledger.has_missed():
                    break
                await self._renew(self._quotas, unsent)
                sent.update(unsent)

    def redis_away(self, away: bool) -> None:
        """Redis is given up, or used again."""
        # Exhausted limits are those of Redis' counts: memory has counts of its own, and a Redis that is back may have
        # lost those that it had.
        self._exhausted.forget_all()
        self._observer.limiter_fallback(away)

    async def _renew(self, quotas: RedisQuotaStore, leases: Sequence[Lease]) -> None:
        for start in range(0, len(leases), _BATCH):  # clients are served between two batches
            await quotas.renew(leases[start : start + _BATCH])
        released = self._ledger.find_released(leases)
        await quotas.release(released)
        self._ledger.forget_missed(released)

    # -- in the background

    async def _cleanup(self) -> None:
        self._exhausted.cleanup()
        self._ledger.cleanup()
        self.cleanup_in_memory()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception as error:
                self._log_failure("maintenance of limits failed", error)

    def _log_failure(self, sentence: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._failure_logged_at >= _QUIET:  # a flood of events would be a flood of these lines
            self._failure_logged_at = now
            log.error(sentence, error=type(error).__name__, exc_info=error)

"""Rate limits and quotas as the server uses them: over all servers while Redis answers, else of this server alone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from tradecast.background.tasks import TaskSet
from tradecast.causes import SOME_REDIS, explain
from tradecast.config.settings import Settings
from tradecast.limits.failover import Failover, RedisAway
from tradecast.limits.known import KnownLimits
from tradecast.limits.memory import MemoryQuotaStore, MemoryRateStore
from tradecast.limits.quota import LEASE, RENEW_EVERY, Kind, Lease
from tradecast.limits.rates import ALLOWED, Check, LimitResult
from tradecast.limits.redis_store import Limit, RedisQuotaStore, RedisRateStore
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import FAILURES

GLOBAL = "global"
CLEANUP_EVERY = 60.0
PATIENCE = 0.25
PROBE_PATIENCE = 2.0
_BATCH = 2_000
MISSED_RELEASES = 100_000
# Before Redis is asked again; under a storm of connects each round finds some more.
MOST_ROUNDS = 20
_QUIET = 10.0
# Recoveries of a user in a minute: of each of his connections this many, and of all together 60 at least. A client that
# loses its connection all the time comes back every five seconds.
RECOVERIES = 60
RECOVERIES_EACH = 6
MINUTE_MS = 60_000
# Of one connection without an offset. Its client has got no event yet, or does not want to say: each is a replay of all
# that is kept since it joined its rooms.
_BLIND: Sequence[Check] = (("blind recoveries", 5),)
_TOPICS = ("portfolio", "trades", "watchlist")
# Never a real user's: a digest stands for those.
_PROBE = "\0probe"
log = structlog.stdlib.get_logger("tradecast.limits")


class RateLimiter:
    """Limits events per minute, subscriptions and connections per user.

    While Redis is away (no connection, no answer within a quarter of a second), the request that met it is answered
    from memory, and so are all others until a probe in the background finds Redis back; then everything that this
    server's clients hold is registered there again. If limiting itself fails, the event passes. What lies under the
    keys of a user's limits and is none of ours is that user's alone: it is removed, and where it comes again that user
    is limited from memory.

    A user whom Redis has told to be over a limit is refused from memory until the window has moved: a flood of events
    is none of requests.

    Args:
        settings: The limits.
        redis: None for single-server mode: memory only. It stays the caller's to close.
        on_fallback: Told True when memory takes over from Redis, and False when Redis is back.
        on_foreign: Told of each request under whose keys something lay that is none of ours.
        lines: Writes the log lines of those.
        lease: Seconds for which Redis counts what a server that died held.
        renew_every: Seconds between renewals of the leases.
        clock: Seconds that never go back, for what is counted of lost connections.
    """

    def __init__(
        self,
        settings: Settings,
        redis: RedisClient | None,
        *,
        on_fallback: Callable[[bool], None] | None = None,
        on_foreign: Callable[[Limit], None] = lambda limit: None,
        lines: ThrottledLog | None = None,
        lease: float = LEASE,
        renew_every: float = RENEW_EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window_ms = settings.rate_limit_window_ms
        self._max_subscriptions = settings.max_subscriptions_per_user
        self._max_connections = settings.max_connections_per_user
        self._checks = event_checks(settings)
        self._default_checks: Sequence[Check] = ((GLOBAL, settings.rate_limit_global),)
        self._any_subscribe = (*self._default_checks, ("subscribe:*", settings.rate_limit_subscribe))
        self._any_unsubscribe = (*self._default_checks, ("unsubscribe:*", settings.rate_limit_unsubscribe))
        self._renew_every = renew_every
        self._memory_rates = MemoryRateStore()
        self._held = MemoryQuotaStore()  # all that this server's clients hold, whether Redis is there or not
        self._clock = clock
        self._lost = MemoryQuotaStore(clock=clock)  # and what is kept for those that may come back
        self._window = settings.recovery_window
        self._known = KnownLimits()
        self._recoveries: Sequence[Check] = (
            ("recoveries", max(RECOVERIES, RECOVERIES_EACH * settings.max_connections_per_user)),
        )
        self._missed_releases: set[Lease] = set()
        self._complained_at = float("-inf")
        self._tasks = TaskSet()
        self._rates: RedisRateStore | None = None
        self._quotas: RedisQuotaStore | None = None
        self._on_fallback = on_fallback or (lambda away: None)
        self._on_foreign = on_foreign
        self._lines = lines or ThrottledLog()
        self._failover = Failover(self._return, self._change, PATIENCE, SOME_REDIS if redis is None else redis.place)
        if redis is not None:
            self._rates = RedisRateStore(redis, self._foreign)
            self._quotas = RedisQuotaStore(redis, lease, self._foreign)

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
        """Stop, and give back what this server's clients still hold."""
        await self._tasks.close()
        await self._failover.close()
        if self._quotas is not None and not self._failover.away:
            with contextlib.suppress(*FAILURES):
                async with asyncio.timeout(2):
                    await self._quotas.release([*self._held, *self._missed_releases])

    # -- rate limits

    async def check_limit(self, user_id: str, event: str) -> LimitResult:
        """Count one event of a user. The result is true if it may pass, and else names the limit that is used up."""
        known = self.known_limit(user_id, event)
        if known is not None:
            return known
        try:
            checks = self._checks_of(event)
            if self._rates is not None and not self._failover.away:
                rates = self._rates
                try:
                    refusal = await self._failover.ask(lambda: rates.try_hit(user_id, checks, self._window_ms))
                except RedisAway:
                    pass
                else:
                    if refusal is None:
                        return ALLOWED
                    self._known.remember(user_id, refusal.limit, refusal.seconds)
                    return LimitResult(refusal.limit)
        except Exception as error:
            self._complain("limiting failed: the event passes", error)
            return ALLOWED
        return self.check_limit_here(user_id, event)

    def known_limit(self, user_id: str, event: str) -> LimitResult | None:
        """The refusal by a limit that Redis has told lately to be used up, so that it need not be asked; None: ask."""
        name = self._known.find(user_id, self._checks_of(event)) if self._known else None
        return None if name is None else LimitResult(name)

    @property
    def is_local(self) -> bool:
        """Whether limits are counted in memory now, so that `check_limit_here` is all there is to do."""
        return self._rates is None or self._failover.away

    def check_limit_here(self, user_id: str, event: str) -> LimitResult:
        """As `check_limit`, of this server alone."""
        try:
            exceeded = self._memory_rates.count(user_id, self._checks_of(event), self._window_ms)
        except Exception as error:
            self._complain("limiting failed: the event passes", error)
            return ALLOWED
        return ALLOWED if exceeded is None else LimitResult(exceeded)

    def may_recover(self, user_id: str | None, pid: str, *, blind: bool) -> bool:
        """Count a client's try to go on where its connection was lost, on this server; False if that is too many.

        Args:
            user_id: Whose connection; None: nobody's, who is known by his private id only.
            pid: The private id.
            blind: Whether the client does not say what it has seen.
        """
        of_pid = f"recoveries of {pid}"
        count = self._memory_rates.count
        if count(of_pid if user_id is None else f"recoveries by {user_id}", self._recoveries, MINUTE_MS) is not None:
            return False
        return not blind or count(of_pid, _BLIND, MINUTE_MS) is None

    def cleanup_in_memory(self) -> int:
        """Forget users whose windows are empty; how many. Runs once a minute by itself."""
        return self._memory_rates.cleanup()

    def _checks_of(self, event: str) -> Sequence[Check]:
        checks = self._checks.get(event)
        if checks is not None:
            return checks
        # Names come from clients: all that are not the contract's share one limit, or memory would grow with them.
        if event.startswith("subscribe:"):
            return self._any_subscribe
        if event.startswith("unsubscribe:"):
            return self._any_unsubscribe
        return self._default_checks

    # -- quotas

    async def increment_subscription(self, user_id: str, member: str) -> bool:
        """Count a subscription, named `member`; False if the user has as many as allowed."""
        return await self._acquire("subscriptions", user_id, (member,), self._max_subscriptions)

    async def take_up_subscriptions(self, user_id: str, members: Sequence[str]) -> bool:
        """Count those of a connection that goes on: all of them, or none if they would be more than are allowed.

        What has been counted since it was lost (`lose_subscriptions`) always may.
        """
        return not members or await self._acquire("subscriptions", user_id, members, self._max_subscriptions)

    async def lose_subscriptions(self, user_id: str, members: Iterable[str]) -> None:
        """A connection is lost: count its subscriptions for as long as it can be recovered, and no longer."""
        leases = [Lease("subscriptions", user_id, member) for member in members]
        for lease in leases:
            self._lose(lease)
        if self._quotas is None or not leases:
            return
        quotas = self._quotas
        try:
            await self._failover.ask(lambda: quotas.lose(leases, self._window))
        except RedisAway:
            pass  # there they end with their lease
        except Exception as error:
            self._complain("a quota could not be changed", error)

    async def decrement_subscription(self, user_id: str, member: str) -> None:
        """Count it no longer; nothing happens if it was not counted."""
        await self._release("subscriptions", user_id, member)

    async def get_subscription_count(self, user_id: str) -> int:
        """How many subscriptions the user has: over all servers, or on this one while Redis is away."""
        return await self._count("subscriptions", user_id)

    async def acquire_connection(self, user_id: str, member: str) -> bool:
        """Count a connection, named `member`; False if the user has as many as allowed."""
        return await self._acquire("connections", user_id, (member,), self._max_connections)

    async def release_connection(self, user_id: str, member: str) -> None:
        """Count it no longer; nothing happens if it was not counted."""
        await self._release("connections", user_id, member)

    def hand_over(self, user_id: str, connection: str, subscriptions: Iterable[str]) -> None:
        """Count these no longer here, and leave them counted: the connection goes on, on another server or this one."""
        self._held.drop(Lease("connections", user_id, connection))
        for member in subscriptions:
            self._lose(Lease("subscriptions", user_id, member))

    async def get_connection_count(self, user_id: str) -> int:
        """How many connections the user has: over all servers, or on this one while Redis is away."""
        return await self._count("connections", user_id)

    async def renew_all(self) -> None:
        """Renew in Redis what this server's clients hold. Runs every 30 s by itself."""
        if self._quotas is None or self._failover.away:
            return
        # A deadline of its own: with many users it is more than one round trip. What is not renewed now is in 30 s.
        try:
            async with asyncio.timeout(self._renew_every):
                await self._renew(self._quotas, list(self._held))
        except FAILURES as error:
            log.warning("leases were not renewed", **explain(error, self._failover.place).fields())

    async def _acquire(self, kind: Kind, user_id: str, members: Sequence[str], limit: int) -> bool:
        leases = [Lease(kind, user_id, member) for member in members]
        self._missed_releases.difference_update(leases)
        try:
            if self._quotas is not None and not self._failover.away:
                quotas = self._quotas
                try:
                    granted = await self._failover.ask(lambda: quotas.acquire_all(kind, user_id, members, limit))
                except RedisAway:
                    pass
                else:
                    if granted:
                        self._hold(leases)
                    return granted
            granted = await self._acquire_here(kind, user_id, members, limit)
            if not granted:
                for lease in leases:
                    self._miss_release(lease)  # it may have come to count in Redis, whose answer was lost
            return granted
        except Exception as error:
            self._complain("a quota could not be checked: it is granted", error)
            self._hold(leases)
            return True

    async def _acquire_here(self, kind: Kind, user_id: str, members: Sequence[str], limit: int) -> bool:
        leases = [Lease(kind, user_id, member) for member in members]
        kept = [lease for lease in leases if lease in self._lost]
        lost = await self._lost.count(kind, user_id) - len(kept)
        fresh = [lease.member for lease in leases if lease not in kept]
        if fresh and not await self._held.acquire_all(kind, user_id, fresh, limit - lost - len(kept)):
            return False
        self._hold(leases)
        return True

    def _hold(self, leases: Iterable[Lease]) -> None:
        for lease in leases:
            self._held.hold(lease)
            self._lost.drop(lease)

    def _lose(self, lease: Lease) -> None:
        if lease in self._held:
            self._held.drop(lease)
            self._lost.hold(lease, self._clock() + self._window)

    async def _release(self, kind: Kind, user_id: str, member: str) -> None:
        lease = Lease(kind, user_id, member)
        self._held.drop(lease)
        self._lost.drop(lease)
        if self._quotas is None:
            return
        quotas = self._quotas
        try:
            await self._failover.ask(lambda: quotas.release([lease]))
        except RedisAway:
            self._miss_release(lease)
        except Exception as error:
            self._complain("a quota could not be released", error)
            self._miss_release(lease)

    async def _count(self, kind: Kind, user_id: str) -> int:
        if self._quotas is not None:
            quotas = self._quotas
            with contextlib.suppress(RedisAway):
                return await self._failover.ask(lambda: quotas.count(kind, user_id))
        return await self._held.count(kind, user_id) + await self._lost.count(kind, user_id)

    def _miss_release(self, lease: Lease) -> None:
        # the bound is for a long absence with many clients; what is beyond it ends with its lease
        if self._quotas is not None and len(self._missed_releases) < MISSED_RELEASES:
            self._missed_releases.add(lease)

    async def _return(self) -> None:
        """What must work before Redis is asked again: a count of the probe's own, and everything held on record."""
        if self._rates is None or self._quotas is None:
            return
        async with asyncio.timeout(PROBE_PATIENCE):
            for user_id in await self._rates.users_everywhere(_PROBE):
                await self._rates.hit(user_id, ((GLOBAL, 2**31),), self._window_ms)
        # What comes and goes while this is on its way is told as well, or Redis would not know of it until the next
        # renewal. After the last round nothing is awaited before Redis is asked again.
        told: set[Lease] = set()
        async with asyncio.timeout(self._renew_every):
            for done in range(MOST_ROUNDS):
                held = [lease for lease in self._held if lease not in told]
                missed = self._missed_releases
                if done and not held and not any(one not in self._held and one not in self._lost for one in missed):
                    break
                await self._renew(self._quotas, held)
                told.update(held)

    async def _renew(self, quotas: RedisQuotaStore, held: Sequence[Lease]) -> None:
        for start in range(0, len(held), _BATCH):  # clients are served between two batches
            await quotas.renew(held[start : start + _BATCH])
        # what was given back meanwhile, or while Redis was away, has to go there as well
        over = {lease for lease in held if lease not in self._held} | self._missed_releases
        over = {lease for lease in over if lease not in self._held and lease not in self._lost}
        await quotas.release(over)
        self._missed_releases -= over

    # -- in the background

    async def _cleanup(self) -> None:
        self._known.cleanup()
        self._lost.cleanup()
        self.cleanup_in_memory()

    def _change(self, away: bool) -> None:
        # What Redis has told counts as long as it is asked: memory has counts of its own, and a Redis that is back may
        # have lost those that it had.
        self._known.forget_all()
        self._on_fallback(away)

    def _foreign(self, limit: Limit) -> None:
        self._on_foreign(limit)
        sentence = "something else lay under a key of a user's limits: it is removed, and they begin anew"
        self._lines.write(log.warning, sentence, kind=limit, limits=limit)

    async def _every(self, seconds: float, work: Callable[[], object]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                result = work()
                if asyncio.iscoroutine(result):
                    await result
            except Exception as error:
                self._complain("the upkeep of limits failed", error)

    def _complain(self, sentence: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained_at >= _QUIET:  # a flood of events would be a flood of these lines
            self._complained_at = now
            log.error(sentence, error=type(error).__name__, exc_info=error)


def event_checks(settings: Settings) -> dict[str, Sequence[Check]]:
    """The limits of each event of the contract (DESIGN §3): the global one and the event's own."""
    own = {f"subscribe:{topic}": settings.rate_limit_subscribe for topic in _TOPICS}
    own |= {f"unsubscribe:{topic}": settings.rate_limit_unsubscribe for topic in _TOPICS}
    own |= {"admin:broadcast": settings.rate_limit_broadcast, "session:refresh": settings.rate_limit_refresh}
    return {event: ((GLOBAL, settings.rate_limit_global), (event, limit)) for event, limit in own.items()}

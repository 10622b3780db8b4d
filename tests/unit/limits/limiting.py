"""How many events pass."""

from __future__ import annotations

from tradecast.limits.limiter import RateLimiter


async def passed(limiter: RateLimiter, event: str, tries: int = 1_200, user_id: str = "u") -> int:
    return sum([bool(await limiter.check_limit(user_id, event)) for _ in range(tries)])

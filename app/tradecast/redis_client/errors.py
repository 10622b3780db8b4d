"""Which errors mean that Redis is away."""

from __future__ import annotations

from typing import Final

from redis.exceptions import RedisError

FAILURES: Final = (RedisError, OSError, TimeoutError)
"""What makes Redis count as away: no connection, no answer in time, or a refusal (read-only, out of memory, …)."""

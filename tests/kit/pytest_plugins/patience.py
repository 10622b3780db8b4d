"""Limits and caches that wait for Redis as long as a busy machine may take, in tests of a Redis that is there."""

from __future__ import annotations

import pytest


@pytest.fixture
def patient_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limiters made from now on give Redis ten seconds to answer, in place of a quarter of one.

    For tests of what limiters do with Redis: they would fail where the machine holds up a request for so long that
    memory takes over, as it should.
    """
    monkeypatch.setattr("tradecast.limits.limiter.PATIENCE", 10.0)


@pytest.fixture
def calm_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `patient_limits`, for tests whose Redis does not answer: three seconds, since all of them pass."""
    monkeypatch.setattr("tradecast.limits.limiter.PATIENCE", 3.0)


@pytest.fixture
def patient_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of sessions give Redis ten seconds to answer, for the same reason."""
    monkeypatch.setattr("tradecast.sessions.cache.REDIS_TIMEOUT", 10.0)

"""Limits that wait for Redis as long as a busy machine may take, where a test is about Redis that is there."""

from __future__ import annotations

import pytest


@pytest.fixture
def patient_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limiters made from now on give Redis ten seconds to answer, in place of a quarter of one.

    For tests of what limiters do with Redis: they would fail where the machine holds up a request for so long that
    memory takes over, as it should.
    """
    monkeypatch.setattr("tradecast.limits.limiter.PATIENCE", 10.0)

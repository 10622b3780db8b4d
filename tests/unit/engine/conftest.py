"""For all tests of the engine without a network."""

from __future__ import annotations

import pytest

from tradecast.engine import turns


@pytest.fixture(autouse=True)
def time_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn of the event loop has time for everybody, however slow the machine is."""
    monkeypatch.setattr(turns, "SECONDS_PER_TURN", 1e9)

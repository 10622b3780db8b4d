"""No settings, and logging left to pytest."""

from __future__ import annotations

import pytest

from tradecast.cli import startup


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's logging belongs to pytest here, and its environment has no settings."""
    monkeypatch.setattr(startup, "configure_logging", lambda level, fmt: None)
    for name in ("API_TOKEN", "TRADECAST_URL", "TRADECAST_ADMIN_URL"):
        monkeypatch.delenv(name, raising=False)

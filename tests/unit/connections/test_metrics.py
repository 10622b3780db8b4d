from __future__ import annotations

from typing import get_args

from kit.metrics.values import read_samples, read_value
from tradecast.connections.metrics import ConnectionMetrics
from tradecast.observability.metrics.registry import MetricsRegistry
from tradecast.observability.metrics.tally import MOST_CODES
from tradecast.sessions.errors import REASONS, SESSION_CODES, RefusalCode

CODES = ("SESSION_EXPIRED", "SERVER_BUSY")


def test_codes_are_bounded() -> None:
    registry = MetricsRegistry()
    metrics = ConnectionMetrics(registry, CODES)
    for n in range(1_000):
        metrics.refused(f"CODE_{n}")
    found = [labels for name, labels in read_samples(registry.render()[1]) if name == "tradecast_refusals_total"]
    assert len(found) == len(CODES) + MOST_CODES + 1
    assert read_value(registry, "refusals_total", code="other") == 1_000 - MOST_CODES
    assert read_value(registry, "refusals_total", code="CODE_0") == 1


def test_every_reason_of_a_refusal_is_there_from_the_start() -> None:
    registry = MetricsRegistry()
    ConnectionMetrics(registry)
    found = {dict(labels)["reason"] for name, labels in read_samples(registry.render()[1]) if "auth_refusals" in name}
    assert found == {*REASONS, "other"}


def test_codes_of_sessions_are_those_that_are_not_about_the_user() -> None:
    assert set(get_args(RefusalCode)) - set(SESSION_CODES) == {"TOO_MANY_CONNECTIONS"}

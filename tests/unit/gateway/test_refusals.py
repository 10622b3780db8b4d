"""Clients that are refused or cut off, as metrics and log lines."""

from __future__ import annotations

import pytest
import structlog

from tradecast.engine.transports.backlog import SlowReason
from tradecast.gateway.metrics import TRANSPORT_REASONS
from tradecast.gateway.refusals import ORIGIN_REFUSED, TOO_SLOW, TRANSPORT_REFUSED, Refusals
from tradecast.observability.throttled_log import ThrottledLog


class Counts:
    """Metrics, as a list."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def malformed_packet(self) -> None:
        self.calls.append(("malformed",))

    def limit_exceeded(self, limit: str) -> None:
        self.calls.append(("limit", limit))

    def origin_refused(self, reason: str) -> None:
        self.calls.append(("origin", reason))

    def transport_refused(self, reason: str) -> None:
        self.calls.append(("transport", reason))

    def slow_client(self, reason: str) -> None:
        self.calls.append(("slow", reason))


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def refusals(counts: Counts) -> Refusals:
    return Refusals(counts, ThrottledLog(clock=lambda: 0.0), ThrottledLog(clock=lambda: 0.0, burst=1))  # type: ignore[arg-type]


def test_each_page_is_counted_and_logged_with_its_origin(refusals: Refusals, counts: Counts) -> None:
    with structlog.testing.capture_logs() as lines:
        refusals.origin_refused("not_allowed", "https://a.example")
        refusals.origin_refused("not_allowed", "https://b.example")
    assert counts.calls == [("origin", "not_allowed")] * 2
    assert {line["event"] for line in lines} == {ORIGIN_REFUSED}
    assert [line["origin"] for line in lines] == ["https://a.example", "https://b.example"]


def test_clients_that_come_back_for_a_transport_are_counted_each_and_logged_once(
    refusals: Refusals, counts: Counts
) -> None:
    with structlog.testing.capture_logs() as lines:
        for reason in TRANSPORT_REASONS:
            for _ in range(3):
                refusals.transport_refused(reason)
    assert counts.calls == [("transport", reason) for reason in TRANSPORT_REASONS for _ in range(3)]
    assert [line["event"] for line in lines] == [TRANSPORT_REFUSED[reason] for reason in TRANSPORT_REASONS]


def test_what_clients_do_wrong_is_counted(refusals: Refusals, counts: Counts) -> None:
    with structlog.testing.capture_logs() as lines:
        refusals.malformed()
        refusals.limit_exceeded("packets")
    assert counts.calls == [("malformed",), ("limit", "packets")]
    assert lines == []


@pytest.mark.parametrize("reason", TOO_SLOW)
def test_slow_client_is_counted_and_logged_with_what_it_exceeded(
    refusals: Refusals, counts: Counts, reason: SlowReason
) -> None:
    with structlog.testing.capture_logs() as lines:
        refusals.client_too_slow(reason)
    assert counts.calls == [("slow", reason)]
    assert [line["event"] for line in lines] == [TOO_SLOW[reason]]

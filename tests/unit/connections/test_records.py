"""What becomes of clients, as metrics and log lines."""

from __future__ import annotations

import pytest
import structlog

from kit.metrics.values import read_value
from tradecast.connections.metrics import ConnectionMetrics
from tradecast.connections.records import ConnectionRecords
from tradecast.observability.metrics.registry import MetricsRegistry
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.sessions.errors import StoreUnavailable
from unit.connections.connecting import USER, connection

BURST = 2


class Case:
    """Records whose throttled lines are written `BURST` times of each kind."""

    def __init__(self) -> None:
        self.registry = MetricsRegistry()
        lines = ThrottledLog(clock=lambda: 0.0, burst=BURST)
        self.records = ConnectionRecords(ConnectionMetrics(self.registry), lines)


@pytest.fixture
def case() -> Case:
    return Case()


def test_the_first_client_of_each_transport_gets_its_lines(case: Case) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(BURST + 1):
            client = connection(user=USER)
            case.records.connected(client, recovered=True)
            case.records.disconnected(client, "transport close")
    assert [line["event"] for line in lines] == ["connected", "disconnected"] * (BURST + 1)
    assert lines[0]["user_id"] == USER.id
    assert lines[0]["recovered"]
    assert lines[1]["reason"] == "transport close"


def test_lines_of_clients_that_follow_on_a_transport_are_throttled(case: Case) -> None:
    client = connection()
    client.reuses_transport = True
    with structlog.testing.capture_logs() as lines:
        for _ in range(BURST + 5):
            case.records.connected(client, recovered=False)
    assert len(lines) == BURST
    assert {line["user_id"] for line in lines} == {None}


def test_refusals_are_counted_each_and_logged_throttled_by_their_reason(case: Case) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(BURST + 5):
            case.records.refused(connection(), "SESSION_NOT_FOUND", "revoked")
        case.records.refused(connection(), "OF_A_MIDDLEWARE")
        case.records.asked_to_retry(connection())
    kinds = [(line["event"], line["code"], line["reason"]) for line in lines]
    assert kinds == [
        *[("connection refused", "SESSION_NOT_FOUND", "revoked")] * BURST,
        ("connection refused", "OF_A_MIDDLEWARE", None),
        ("connection refused", "TRY_AGAIN", None),
    ]
    assert read_value(case.registry, "auth_refusals_total", reason="revoked") == BURST + 5
    assert read_value(case.registry, "refusals_total", code="TRY_AGAIN") == 1


def test_a_store_that_does_not_answer_is_no_error_of_ours(case: Case) -> None:
    with structlog.testing.capture_logs() as lines:
        case.records.deferred(connection(), StoreUnavailable())
        case.records.deferred(connection(), RuntimeError("a bug"))
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("warning", "connection deferred: the session store does not answer"),
        ("error", "connection deferred"),
    ]
    assert str(lines[1]["exc_info"]) == "a bug"


def test_abandoned_clients_are_failures_only_if_the_server_could_not_connect_them(case: Case) -> None:
    with structlog.testing.capture_logs() as lines:
        case.records.abandoned(connection(), displaced=True, failed=False)
        case.records.abandoned(connection(), displaced=False, failed=True)
    assert [line["displaced"] for line in lines] == [True, False]
    assert read_value(case.registry, "refusals_total", code="INTERNAL") == 1

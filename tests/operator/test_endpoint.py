from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tradecast_operator.endpoint import create_app
from tradecast_operator.metrics import Metrics
from tradecast_operator.planning.autoscaler_metric import Unknown


def told(namespace: str, fleet: str) -> int:
    return {"full": 12_345}[fleet]


def stale(namespace: str, fleet: str) -> int:
    raise Unknown("The fleet was last seen whole 40 s ago; 30 s are allowed")


@pytest.mark.parametrize(
    ("connections", "fleet", "status", "body"),
    [
        (told, "full", 200, {"connections": 12_345}),
        (told, "other", 404, {"error": "There is no such SocketFleet"}),
        (stale, "full", 503, {"error": "The fleet was last seen whole 40 s ago; 30 s are allowed"}),
    ],
)
async def test_the_autoscaler_gets_a_number_or_an_error(
    connections: object, fleet: str, status: int, body: dict[str, object]
) -> None:
    app = create_app(connections, Metrics(), lambda: True)  # type: ignore[arg-type]
    async with TestClient(TestServer(app)) as client:
        answer = await client.get(f"/fleets/trading/{fleet}/connections")
        assert (answer.status, await answer.json()) == (status, body)


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_whether_the_autoscaler_can_be_sent_here(ready: bool, status: int) -> None:
    async with TestClient(TestServer(create_app(told, Metrics(), lambda: ready))) as client:
        assert (await client.get("/ready")).status == status


async def test_metrics() -> None:
    metrics = Metrics()
    metrics.connections.labels("trading", "full").set(5)
    async with TestClient(TestServer(create_app(told, metrics, lambda: True))) as client:
        text = await (await client.get("/metrics")).text()
    assert 'tradecast_operator_connections{fleet="full",namespace="trading"} 5.0' in text

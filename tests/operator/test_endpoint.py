"""The operator's HTTP port."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tradecast_operator.endpoint import create_app
from tradecast_operator.metrics import Metrics
from tradecast_operator.planning.autoscaler_metric import Unknown

STALE = "The last complete observation is 40 s old; 30 s are allowed"


class Readings:
    """An operator with two fleets, of which one was not observed for too long."""

    def __init__(self, *, ready: bool = True) -> None:
        self.metrics = Metrics()
        self._ready = ready

    def connections(self, namespace: str, name: str) -> int:
        if name == "stale":
            raise Unknown(STALE)
        return {"full": 12_345}[name]

    def is_ready(self) -> bool:
        return self._ready


@pytest.mark.parametrize(
    ("fleet", "status", "body"),
    [
        ("full", 200, {"connections": 12_345}),
        ("other", 404, {"error": "There is no such SocketFleet"}),
        ("stale", 503, {"error": STALE}),
    ],
)
async def test_the_autoscaler_gets_a_number_or_an_error(fleet: str, status: int, body: dict[str, object]) -> None:
    async with TestClient(TestServer(create_app(Readings()))) as client:
        answer = await client.get(f"/fleets/trading/{fleet}/connections")
        assert (answer.status, await answer.json()) == (status, body)


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_whether_the_autoscaler_can_be_sent_here(ready: bool, status: int) -> None:
    async with TestClient(TestServer(create_app(Readings(ready=ready)))) as client:
        assert (await client.get("/ready")).status == status


async def test_metrics() -> None:
    readings = Readings()
    readings.metrics.connections.labels("trading", "full").set(5)
    async with TestClient(TestServer(create_app(readings))) as client:
        text = await (await client.get("/metrics")).text()
    assert 'tradecast_operator_connections{fleet="full",namespace="trading"} 5.0' in text


async def test_readings_are_counted_for_fleets_that_exist() -> None:
    readings = Readings()
    async with TestClient(TestServer(create_app(readings))) as client:
        for fleet in ("full", "full", "stale", "other"):
            await client.get(f"/fleets/trading/{fleet}/connections")
        text = await (await client.get("/metrics")).text()
    assert 'tradecast_operator_readings_total{fleet="full",namespace="trading",result="answered"} 2.0' in text
    assert 'tradecast_operator_readings_total{fleet="stale",namespace="trading",result="unknown"} 1.0' in text
    assert "other" not in text

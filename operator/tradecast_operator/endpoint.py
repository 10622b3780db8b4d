"""The operator's HTTP port: the autoscaler's metric, readiness, and the operator's own metrics."""

from __future__ import annotations

from typing import Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tradecast_operator.metrics import Metrics
from tradecast_operator.planning.autoscaler_metric import Unknown


class FleetReadings(Protocol):
    """What the endpoint reads about fleets."""

    @property
    def metrics(self) -> Metrics:
        """Of all fleets."""

    def connections(self, namespace: str, name: str) -> int:
        """A fleet's number for the autoscaler. Raises KeyError where there is no such fleet, and Unknown."""

    def is_ready(self) -> bool:
        """Whether the autoscaler's requests can be answered."""


def create_app(fleets: FleetReadings) -> web.Application:
    """`GET /fleets/<namespace>/<name>/connections` for KEDA's metrics-api scaler, `GET /metrics`, and `GET /ready`.

    An unknown number is an error, never a low number: KEDA then keeps the replicas
    (https://keda.sh/docs/latest/scalers/metrics-api/).
    """

    async def get_connections(request: web.Request) -> web.Response:
        fleet = request.match_info["namespace"], request.match_info["name"]
        try:
            count = fleets.connections(*fleet)
        except KeyError:  # not counted: anybody can name a fleet
            return web.json_response({"error": "There is no such SocketFleet"}, status=404)
        except Unknown as unknown:
            fleets.metrics.readings.labels(*fleet, "unknown").inc()
            return web.json_response({"error": str(unknown)}, status=503)
        fleets.metrics.readings.labels(*fleet, "answered").inc()
        return web.json_response({"connections": count})

    async def get_metrics(request: web.Request) -> web.Response:
        body = generate_latest(fleets.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def get_readiness(request: web.Request) -> web.Response:
        ready = fleets.is_ready()
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    app = web.Application()
    app.router.add_get("/ready", get_readiness)
    app.router.add_get("/fleets/{namespace}/{name}/connections", get_connections)
    app.router.add_get("/metrics", get_metrics)
    return app

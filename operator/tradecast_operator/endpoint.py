"""The operator's HTTP port: the autoscaler's metric, and its own metrics."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tradecast_operator.metrics import Metrics
from tradecast_operator.planning.autoscaler_metric import Unknown

# Raises KeyError where there is no such fleet, and Unknown.
Connections = Callable[[str, str], int]


def create_app(connections: Connections, metrics: Metrics, is_ready: Callable[[], bool]) -> web.Application:
    """`GET /fleets/<namespace>/<name>/connections` for KEDA's metrics-api scaler, `GET /metrics`, and `GET /ready`.

    What is not known is an error, never a low number: KEDA then keeps what there is
    (https://keda.sh/docs/latest/scalers/metrics-api/).
    """

    async def tell(request: web.Request) -> web.Response:
        try:
            count = connections(request.match_info["namespace"], request.match_info["name"])
        except KeyError:
            return web.json_response({"error": "There is no such SocketFleet"}, status=404)
        except Unknown as unknown:
            return web.json_response({"error": str(unknown)}, status=503)
        return web.json_response({"connections": count})

    async def tell_metrics(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def tell_ready(request: web.Request) -> web.Response:
        ready = is_ready()
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    app = web.Application()
    app.router.add_get("/ready", tell_ready)
    app.router.add_get("/fleets/{namespace}/{name}/connections", tell)
    app.router.add_get("/metrics", tell_metrics)
    return app

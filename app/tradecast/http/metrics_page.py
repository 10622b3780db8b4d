"""`/metrics`."""

from __future__ import annotations

from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tradecast.http.responses import JsonResponse

METRICS_PATH = "/metrics"


class MetricsPage(Protocol):
    """All metrics, in each of the formats."""

    def render_prometheus(self, accept: str) -> tuple[str, bytes]: ...
    def render_json(self) -> dict[str, Any]: ...


def metrics_route(page: MetricsPage) -> BaseRoute:
    """`/metrics`: Prometheus text, or JSON where the client asks for that."""

    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        if "application/json" in accept:
            return JsonResponse(page.render_json(), headers={"vary": "accept"})
        content_type, text = page.render_prometheus(accept)
        return Response(text, headers={"content-type": content_type, "vary": "accept", "cache-control": "no-store"})

    return Route(METRICS_PATH, metrics)

"""`/health`: what probes and load balancers ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tradecast.http.responses import Handler, JsonResponse

HEALTH_PATHS = (
    *("/health", "/health/startup", "/health/ready", "/health/live"),
    *("/health/redis", "/health/database"),
)


class HealthChecks(Protocol):
    """Whether this process and its dependencies work."""

    def alive(self) -> dict[str, Any]: ...
    async def check(self, name: str, *, addresses: bool = False) -> tuple[int, dict[str, Any]]: ...
    def causes(self) -> Mapping[str, str]: ...


class Readiness(Protocol):
    """Whether this server should get new clients."""

    def is_ready(self) -> bool: ...
    def is_superseded(self) -> bool: ...


def health_routes(
    health: HealthChecks, readiness: Readiness | None = None, *, private: bool = False
) -> list[BaseRoute]:
    """`/health`, the three that Kubernetes asks for, and one route per dependency.

    The address of a dependency that is down is shown on a private port only. Readiness names what is down and why, but
    does not depend on it.

    Startup and liveness mean only that the event loop serves requests: a Redis or MongoDB that is down is no reason to
    restart a server whose clients wait for its recovery. Readiness is off while the server drains.

    A superseded server stays ready and reports that it is superseded. Taken out of the Service it would count as a
    missing pod (for disruption budgets, alerts, and the rollout's own arithmetic), and should the newer revision fail,
    it could accept clients only after the endpoints had followed.

    Args:
        health: The checks.
        readiness: None: always ready.
        private: Whether the port is private.
    """

    async def alive(request: Request) -> Response:
        return JsonResponse(health.alive())

    async def ready(request: Request) -> Response:
        found = {name: {"status": "down", "cause": cause} for name, cause in health.causes().items()}
        if readiness is not None and not readiness.is_ready():
            return JsonResponse({"status": "draining", **found}, 503)
        superseded = readiness is not None and readiness.is_superseded()
        return JsonResponse({"status": "superseded" if superseded else "ready", **found})

    def dependency(name: str) -> Handler:
        async def check(request: Request) -> Response:
            status, body = await health.check(name, addresses=private)
            return JsonResponse(body, status)

        return check

    return [
        Route("/health", alive),
        Route("/health/startup", alive),
        Route("/health/live", alive),
        Route("/health/ready", ready),
        Route("/health/redis", dependency("redis")),
        Route("/health/database", dependency("database")),
    ]

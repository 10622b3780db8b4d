"""The HTTP API of a namespace in memory, and the operator's real process against it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, fleet_body, pod_body
from kit.network.aiohttp_server import close_runner
from tradecast_operator.kube.client import Conflict, Missing, Object

FLEETS = re.compile(r"/apis/tradecast\.dev/v1alpha1/namespaces/trading/socketfleets(?:/fleet(/status)?)?")


def resource(plural: str, kind: str, *, namespaced: bool) -> Object:
    verbs = ["list", "watch", "get", "patch", "create"]
    return {"name": plural, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": verbs}


def group(name: str, version: str) -> Object:
    entry = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


DISCOVERY: dict[str, Object] = {
    "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
    "/api": {"versions": ["v1"]},
    "/apis": {"groups": [group("tradecast.dev", "v1alpha1"), group("apiextensions.k8s.io", "v1")]},
    "/api/v1": {"resources": [resource("namespaces", "Namespace", namespaced=False)]},
    "/apis/tradecast.dev/v1alpha1": {"resources": [resource("socketfleets", "SocketFleet", namespaced=True)]},
    "/apis/apiextensions.k8s.io/v1": {
        "resources": [resource("customresourcedefinitions", "CustomResourceDefinition", namespaced=False)]
    },
}


class ApiServer:
    """The HTTP API of a namespace in memory, as far as the operator asks it.

    Attributes:
        kubernetes: The namespace.
        fleet: The SocketFleet.
        patches: Paths of patched objects.
        refused: Requests for the namespace `forbidden`.
    """

    def __init__(self) -> None:
        self.kubernetes = FakeKubernetes([pod_body("a"), pod_body("b")], replicas=2)
        self.fleet = {**fleet_body(replicas=3), "status": {}}
        self.patches: list[str] = []
        self.refused = 0
        self._events: asyncio.Queue[Object | None] = asyncio.Queue()

    def change(self, kind: str, **spec: Any) -> None:
        """Change the SocketFleet, and have its watchers notified."""
        self.fleet = copy.deepcopy(self.fleet)
        self.fleet["spec"] |= spec
        self.fleet["metadata"]["generation"] += 1
        self._events.put_nowait({"type": kind, "object": self.fleet})

    def end(self) -> None:
        """End all watches."""
        self._events.put_nowait(None)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if path in DISCOVERY:
            return web.json_response(DISCOVERY[path])
        if "/namespaces/forbidden/" in path:
            self.refused += 1
            return web.json_response({"kind": "Status", "code": 403, "message": "forbidden"}, status=403)
        if request.method == "PATCH":
            self.patches.append(path)
        if (found := FLEETS.fullmatch(path)) is not None and request.query.get("watch"):
            return await self._watch(request)
        try:
            answer = await self._answer(request, path, found)
        except (Missing, Conflict) as error:
            code = 404 if isinstance(error, Missing) else 409
            return web.json_response({"kind": "Status", "code": code, "message": str(error)}, status=code)
        return web.json_response(answer)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while (event := await self._events.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        self.end()  # the others, too
        return response

    async def _answer(self, request: web.Request, path: str, fleets: re.Match[str] | None) -> Object:
        body: Any = await request.json() if request.can_read_body else None
        name = path.rpartition("/")[2]
        if fleets is not None:
            if fleets[1]:
                await self.kubernetes.set_status(NAMESPACE, "fleet", body["status"])
            lists = name == "socketfleets"
            return {"metadata": {"resourceVersion": "1"}, "items": [self.fleet]} if lists else self.fleet
        match path.split("/")[-2:]:
            case ["deployments", _]:
                if body:
                    version, replicas = body["metadata"]["resourceVersion"], body["spec"]["replicas"]
                    await self.kubernetes.set_replicas(NAMESPACE, name, version, replicas)
                return await self.kubernetes.deployment(NAMESPACE, name)
            case [_, "pods"]:
                return {"metadata": {"resourceVersion": "1"}, "items": self.kubernetes.pod_list}
            case ["secrets", _]:
                return await self.kubernetes.secret(NAMESPACE, name)
            case [_, "replicasets"]:
                return {"items": self.kubernetes.sets}
            case [_, "leases"]:
                return await self.kubernetes.create_lease(NAMESPACE, body)
            case ["leases", _] if body:
                return await self.kubernetes.set_lease(
                    NAMESPACE, name, body["metadata"]["resourceVersion"], body["spec"]
                )
            case ["leases", _]:
                return await self.kubernetes.lease(NAMESPACE, name)
            case [_, "events"]:
                await self.kubernetes.create_event(NAMESPACE, body)
                return {}
        raise Missing(path)


@contextlib.asynccontextmanager
async def served(server: ApiServer) -> AsyncIterator[str]:
    """The URL at which an API server answers."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}".format(*runner.addresses[0])
    finally:
        server.end()
        await close_runner(runner)


def write_kubeconfig(path: Path, url: str) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "memory", "cluster": {"server": url}}],
        "users": [{"name": "operator", "user": {"token": "none"}}],
        "contexts": [{"name": "test", "context": {"cluster": "memory", "user": "operator", "namespace": NAMESPACE}}],
        "current-context": "test",
    }
    path.write_text(json.dumps(config), encoding="utf-8")


@contextlib.asynccontextmanager
async def operator(
    kubeconfig: Path, port: int, liveness: int, round_seconds: float = 60, namespaces: str = NAMESPACE
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process."""
    variables = {
        "KUBECONFIG": str(kubeconfig),
        "WATCH_NAMESPACES": namespaces,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "POD_IP": "127.0.0.1",
        "LIVENESS_PORT": str(liveness),
        "ROUND_SECONDS": str(round_seconds),
    }
    code = "from tradecast_operator.entry import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

"""Servers without containers: real pods that no scheduler takes, whose status and admin port are the test's own.

The API server and its controllers are real, so what they make of a Deployment, of deletion costs and of a pod's
readiness is what they make of them in production; what a kubelet and a server would tell, this tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web
from pydantic import SecretStr

from tradecast.http.signed_requests import SignedRequests

TOKEN = "admin-token"
NOTHING = "none.invalid/server:1"


def deployment(replicas: int) -> dict[str, Any]:
    """A Deployment whose pods get no node, as strict as pod security `restricted` wants them."""
    container = {
        "name": "server",
        "image": NOTHING,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec: dict[str, Any] = {
        "schedulerName": "nobody",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    template = {"metadata": {"labels": {"app": "servers"}}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "tradecast"},
        "spec": {
            "replicas": replicas,
            "selector": {
                "matchLabels": {"app": "servers"},
                "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["other"]}],
            },
            "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},  # the chart's
            "template": template,
        },
    }


@dataclass
class SimulatedServer:
    """One server, and the pod that it would run in.

    Attributes:
        clients: How many are connected.
        draining: Whether it was told to send them away.
        stuck: Whether it keeps them nevertheless.
        silent: Whether its admin port hangs up.
        hanging: Whether its container runs but is not ready yet.
        left: How many it has sent away, or lost, when it was last left by all.
        told: What the operator has told it: method, path, body.
        old: Whether it is of the version before, which takes the token itself only.
        authorizations: What showed who asks, of each request; empty: nothing.
    """

    name: str
    uid: str
    address: str
    clients: int = 0
    left: int = 0
    draining: bool = False
    stuck: bool = False
    silent: bool = False
    hanging: bool = False
    told: list[tuple[str, str, Any]] = field(default_factory=list)
    old: bool = False
    authorizations: list[str] = field(default_factory=list)
    signed: SignedRequests | None = None

    def lets_in(
        self, token: str, method: str, path: str, authorization: str, body: bytes
    ) -> tuple[bool, dict[str, str]]:
        """Whether it heeds a request, and what it says of the next one."""
        if self.old:
            return authorization == f"Bearer {token}", {}
        self.signed = self.signed or SignedRequests([SecretStr(token)], self.uid)
        if self.signed.accept(authorization, method, path.encode(), body):
            return True, {"Authentication-Info": f'nextnonce="{self.signed.offer()}"'}
        return False, {"WWW-Authenticate": f'Bearer realm="tradecast", Tradecast-Hmac nonce="{self.signed.offer()}"'}

    @property
    def ready(self) -> bool:
        return not self.draining and not self.hanging


class SimulatedServers:
    """All servers of a namespace's Deployment.

    Attributes:
        port: The admin port of all.
        token: What they let in.
        gone: Those whose pod is gone, in that order.
        starting: Whether new pods get a running server; else they stay pending until `start`.
        told: Is awaited with each server that is told to drain, or to take clients again, before it answers.
    """

    def __init__(self, namespace: str, api: httpx.AsyncClient) -> None:
        self.port = 0
        self.token = TOKEN
        self.gone: list[SimulatedServer] = []
        self.starting = True
        self.told: Callable[[SimulatedServer], Awaitable[None]] | None = None
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._api = api
        self._addresses = itertools.count(1)
        self._servers: dict[str, SimulatedServer] = {}
        self._pending: dict[str, SimulatedServer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> Sequence[SimulatedServer]:
        """Those that are there, the emptiest first."""
        return sorted(self._servers.values(), key=lambda one: (one.clients, one.name))

    @property
    def pending(self) -> int:
        """Pods without a server."""
        return len(self._pending)

    @property
    def total(self) -> int:
        return sum(one.clients for one in self._servers.values())

    def named(self, name: str) -> SimulatedServer:
        return next(one for one in (*self._servers.values(), *self.gone) if one.name == name)

    def load(self, *clients: int) -> None:
        """So many clients on the servers, in the order of their pods' names."""
        for server, count in zip(sorted(self._servers.values(), key=lambda one: one.name), clients, strict=True):
            server.clients = count

    async def report(self, server: SimulatedServer) -> None:
        """Tell the API server how a pod is, as its kubelet would; a pod that is gone is left."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ready = {"type": "Ready", "status": str(server.ready), "lastTransitionTime": now}
        container = {
            "name": "server", "image": NOTHING, "imageID": "", "ready": server.ready, "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }  # fmt: skip
        status = {
            "phase": "Running", "podIP": server.address, "podIPs": [{"ip": server.address}],
            "conditions": [ready], "containerStatuses": [container],
        }  # fmt: skip
        answer = await self._api.patch(
            f"{self._pods}/{server.name}/status",
            json={"metadata": {"uid": server.uid}, "status": status},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert answer.status_code in (200, 404, 409), answer.text

    async def watch(self) -> None:
        """Be the kubelet of every pod, for ever."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                async with self._api.stream("GET", self._pods, params={"watch": "true"}, timeout=None) as lines:
                    async for line in lines.aiter_lines():
                        self._saw(json.loads(line))
            await asyncio.sleep(0.2)

    def start(self) -> None:
        """Servers begin to run in the pods that are pending, and in those to come."""
        self.starting = True
        for server in self._pending.values():
            self._servers[server.uid] = server
            self._do(self.report(server))
        self._pending.clear()

    def _saw(self, event: dict[str, Any]) -> None:
        metadata = event["object"]["metadata"]
        uid = metadata.get("uid", "")
        if event["type"] == "DELETED":
            self._pending.pop(uid, None)
            server = self._servers.pop(uid, None)
            if server is not None:
                self.gone.append(server)
                self._move(server)
        elif event["type"] == "ADDED" and uid not in self._servers:
            number = next(self._addresses)
            server = SimulatedServer(metadata["name"], uid, f"127.0.{1 + number // 250}.{1 + number % 250}")
            self._pending[uid] = server
            if self.starting:
                self.start()

    def _do(self, what: Any) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _heed(self, server: SimulatedServer) -> None:
        """Readiness goes first, as in the server; then its clients."""
        await self.report(server)
        if server.draining and not server.stuck and server.uid in self._servers:
            self._move(server)

    def leave(self, server: SimulatedServer) -> None:
        """A server that was stuck sends its clients away after all."""
        self._move(server)

    def _move(self, server: SimulatedServer) -> None:
        """Its clients come back to the others at once."""
        others = [one for one in self._servers.values() if one.ready and one is not server]
        if others:
            moved, server.left, server.clients = server.clients, server.clients, 0
            for number, one in enumerate(others):
                one.clients += moved // len(others) + (number < moved % len(others))

    async def answer(self, request: web.Request) -> web.Response:
        address = request.transport.get_extra_info("sockname")[0] if request.transport else ""
        server = next((one for one in self._servers.values() if one.address == address), None)
        if server is None or server.silent:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)
        authorization, raw = request.headers.get("Authorization", ""), await request.read()
        server.authorizations.append(authorization)
        heeds, headers = server.lets_in(self.token, request.method, request.path, authorization, raw)
        if not heeds:
            return web.Response(status=401, headers=headers)
        if request.method != "GET":
            body = json.loads(raw) if raw else None
            server.told.append((request.method, request.path, body))
        if request.path == "/admin/drain":
            before, server.draining = server.draining, request.method == "POST"
            if before != server.draining:
                self._do(self._heed(server))
            if self.told is not None:
                await self.told(server)
        drain = {"active": server.draining, "remaining": 0, "shedding": False}
        return web.json_response({"websocket": {"totalConnections": server.clients}, "drain": drain}, headers=headers)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def pretended(namespace: str, api: httpx.AsyncClient) -> AsyncIterator[SimulatedServers]:
    """Servers for every pod of a namespace, at addresses of their own in 127.0.0.0/8."""
    servers = SimulatedServers(namespace, api)
    app = web.Application()
    app.router.add_route("*", "/admin/{what}", servers.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0).start()
    servers.port = runner.addresses[0][1]
    watching = asyncio.create_task(servers.watch())
    try:
        yield servers
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await servers.close()
        await runner.cleanup()

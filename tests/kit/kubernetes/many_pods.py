"""A fleet of thousands of pods: a pretended API server with pods as large as real ones, and pretended servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
from aiohttp import web

from kit.kubernetes.api_server import ApiServer
from kit.kubernetes.fake_api import DEPLOYMENT, LABELS, NAMESPACE, fleet_body, pod_body
from kit.kubernetes.hostile_pods import told
from tradecast_operator.kube.client import Object


def real_pod(number: int) -> Object:
    """A pod of the chart as the API server stores it, some 12 kB, at an address of its own in 127.0.0.0/8."""
    address = f"127.{2 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"
    body = pod_body(f"tradecast-6b7f9c8d4b-{number:05}", address)
    env = [
        {"name": f"SETTING_{one}", "valueFrom": {"secretKeyRef": {"name": "tradecast-secret", "key": f"KEY_{one}"}}}
        for one in range(24)
    ]
    fields: Object = {f'k:{{"name":"SETTING_{one}"}}': {".": {}, "f:name": {}, "f:valueFrom": {}} for one in range(24)}
    probe = {"httpGet": {"path": "/health/live", "port": "admin", "scheme": "HTTP"}, "timeoutSeconds": 2}
    container = {
        "name": "server",
        "image": "registry.example.com/trading/tradecast:1.2.3",
        "env": env,
        **{name: dict(probe) for name in ("livenessProbe", "readinessProbe", "startupProbe")},
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
    }
    managed = [
        {
            "manager": manager,
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-01-01T10:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:containers": {'k:{"name":"server"}': {"f:env": fields, "f:image": {}}}}},
        }
        for manager in ("kube-controller-manager", "kubelet")
    ]
    body["metadata"] |= {"managedFields": managed, "resourceVersion": str(number + 1)}
    body["metadata"]["annotations"] = {"checksum/config": "a" * 64, "tradecast.dev/admin-requests": "signed"}
    body["spec"] = {"nodeName": f"node-{number % 300}", "terminationGracePeriodSeconds": 600, "containers": [container]}
    body["status"]["conditions"] += [
        {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T10:00:00Z"}
        for kind in ("PodReadyToStartContainers", "Initialized", "ContainersReady", "PodScheduled")
    ]
    return body


class ManyPods(ApiServer):
    """An API server that lists pods in pages, and lets them be watched.

    Attributes:
        live: The pods by name.
        lists: Requests for a page of pods.
        watches: Requests to watch them.
        watched_from: The resource version of each.
        may_watch: Whether that is allowed.
        refuses: Whether no page is given.
        rounds: Rounds that have begun: each reads the Deployment.
    """

    def __init__(self, count: int, port: int) -> None:
        super().__init__()
        self.live = {body["metadata"]["name"]: body for body in map(real_pod, range(count))}
        self.lists = self.watches = 0
        self.watched_from: list[str] = []
        self.may_watch, self.refuses = True, False
        self.rounds = 0
        self._version = count
        self._changes: set[asyncio.Queue[bytes]] = set()
        admin = {"port": port, "tokenSecret": {"name": "tokens"}}
        self.fleet = fleet_body(replicas=count, maxReplicas=10_000, admin=admin, redisAdapter={"mode": "single"})
        self.fleet["status"] = {}
        deployment = self.kubernetes.deployments["servers"]
        deployment["spec"] |= {"replicas": count, "selector": {"matchLabels": LABELS}}
        deployment["metadata"]["uid"] = DEPLOYMENT
        self._count()

    def change_pod(self, kind: str, body: Object) -> None:
        """A pod was ADDED, MODIFIED or DELETED; its watchers are notified."""
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        name = body["metadata"]["name"]
        if kind == "DELETED":
            del self.live[name]
        else:
            self.live[name] = body
        self._count()
        self.tell({"type": kind, "object": body})

    def tell(self, change: Any) -> None:
        """Notify the watchers of pods."""
        for queue in self._changes:
            queue.put_nowait(json.dumps(change).encode() + b"\n")

    @property
    def watching(self) -> bool:
        """Whether pods are watched now."""
        return bool(self._changes)

    def end_watches(self) -> None:
        """End all watches of pods."""
        for queue in self._changes:
            queue.put_nowait(b"")

    def end(self) -> None:
        super().end()
        self.end_watches()

    def _count(self) -> None:
        status = self.kubernetes.deployments["servers"]["status"]
        status |= {"replicas": len(self.live), "updatedReplicas": len(self.live)}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.rounds += request.method == "GET" and request.path.endswith("/deployments/servers")
        if not request.path.endswith(f"/namespaces/{NAMESPACE}/pods"):
            return await super().handle(request)
        if self.refuses:
            return web.json_response({"kind": "Status", "code": 500, "message": "no"}, status=500)
        if not request.query.get("watch"):
            return web.Response(body=orjson.dumps(self._page(request.query)), content_type="application/json")
        self.watches += 1
        if not self.may_watch:
            return web.json_response({"kind": "Status", "code": 403, "message": "pods is forbidden"}, status=403)
        self.watched_from.append(request.query["resourceVersion"])
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._changes.add(queue)
        response = web.StreamResponse()
        try:
            await response.prepare(request)
            while line := await queue.get():
                await response.write(line)
        finally:
            self._changes.discard(queue)
        return response

    def _page(self, query: Any) -> Object:
        self.lists += 1
        first, limit = int(query.get("continue") or 0), int(query.get("limit") or len(self.live))
        found = [*self.live.values()][first : first + limit]
        more = str(first + limit) if first + limit < len(self.live) else ""
        return {"metadata": {"resourceVersion": str(self._version), "continue": more}, "items": found}


NONCE = "0.0123456789abcdef.0123456789abcdef0123456789abcdef"


def answers() -> Iterator[bytes]:
    """Of a server that offers a nonce, then of one that accepts each signature."""
    body = json.dumps(told()).encode()
    yield (
        b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n"
        b'www-authenticate: Bearer realm="tradecast", Tradecast-Hmac nonce="' + NONCE.encode() + b'"\r\n\r\n'
    )
    yield (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        b'authentication-info: nextnonce="' + NONCE.encode() + b'"\r\n'
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )


class PretendedServer(asyncio.Protocol):
    """Answers each request as a server with 7 clients."""

    refused, accepted = answers()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self.accepted if b"authorization: Tradecast-Hmac" in data else self.refused)


@contextlib.asynccontextmanager
async def pretended_servers() -> AsyncIterator[int]:
    """The port at which a server answers at each address of 127.0.0.0/8."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(PretendedServer, "0.0.0.0", 0, backlog=4096)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()

"""A way to the API server that a test watches and can close: the operator under test goes through it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from aiohttp import web

from e2e.kube import run

# Of one hop only (RFC 9110 7.6.1), or set anew by who sends it on.
_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "host",
    "content-encoding",
    "accept-encoding",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What an operator has asked for, with which token, and the API server's answer."""

    token: str = field(repr=False)
    method: str
    path: str
    query: dict[str, str]
    body: Any
    status: int

    @property
    def writes(self) -> bool:
        """Whether it is to change something besides the SocketFleet's status, events, and who is in charge."""
        told = self.path.endswith(("/status", "/events")) or "/leases" in self.path
        return self.method != "GET" and not told

    @property
    def step(self) -> str:
        """Which step of a scale-down or rollout it is: mark, unmark, cost, replicas, pacing, event, or none."""
        if self.method == "POST" and self.path.endswith("/events"):
            return "event"
        if self.method != "PATCH" or not isinstance(self.body, dict):
            return ""
        if "/deployments/" in self.path:
            return "pacing" if "minReadySeconds" in self.body.get("spec", {}) else "replicas"
        annotations = self.body.get("metadata", {}).get("annotations", {})
        if "/pods/" not in self.path:
            return ""
        if "tradecast.dev/drain-since" in annotations:
            return "mark" if annotations["tradecast.dev/drain-since"] else "unmark"
        return "cost"


@dataclass
class Gate:
    """Passes requests on with the credentials that they have.

    Attributes:
        url: Where it listens.
        requests: What has been answered, in order; watches when they begin.
        shut: Whether every connection is reset, those of watches too.
        asked: Is awaited with each request that is no watch, before the API server has it; its status is 0 then.
        answered: Is awaited with each request once the API server has answered, before the operator has the answer.
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    asked: Callable[[Request], Awaitable[None]] | None = None
    answered: Callable[[Request], Awaitable[None]] | None = None
    shut: bool = False
    _open: set[asyncio.Transport] = field(default_factory=set)

    def close(self) -> None:
        """The API server cannot be reached any more."""
        self.shut = True
        for transport in self._open:
            transport.abort()

    def open(self) -> None:
        """It can again."""
        self.shut = False

    @property
    def forbidden(self) -> Sequence[Request]:
        """Those that the API server did not allow."""
        return [one for one in self.requests if one.status in (401, 403)]

    async def pass_on(self, session: aiohttp.ClientSession, base: str, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        if self.shut or transport is None:
            return _reset(request)
        self._open.add(transport)
        try:
            return await self._pass_on(session, base, request)
        except (aiohttp.ClientError, ConnectionError):
            return _reset(request)
        finally:
            self._open.discard(transport)

    async def _pass_on(self, session: aiohttp.ClientSession, base: str, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        body = None
        with contextlib.suppress(ValueError):
            body = json.loads(data)
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        told = Request(token, request.method, request.path, dict(request.query), body, 0)
        if self.asked is not None and "watch" not in request.query:
            await self.asked(told)
        url = base + request.path_qs
        async with session.request(request.method, url, data=data or None, headers=headers) as answer:
            told = replace(told, status=answer.status)
            response = web.StreamResponse(
                status=answer.status, headers={"Content-Type": answer.headers.get("Content-Type", "text/plain")}
            )
            if "watch" in request.query:
                self.requests.append(told)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            else:
                whole = await answer.read()
                self.requests.append(told)
                if self.answered is not None:
                    await self.answered(told)
                await response.prepare(request)
                await response.write(whole)
            await response.write_eof()
            return response


def _reset(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


@contextlib.asynccontextmanager
async def gate() -> AsyncIterator[Gate]:
    """A gate to the cluster of the kubeconfig that kubectl uses."""
    config = json.loads(await asyncio.to_thread(run, "kubectl", "config", "view", "--raw", "--minify", "-o", "json"))
    cluster = config["clusters"][0]["cluster"]
    trust = ssl.create_default_context()
    if "certificate-authority-data" in cluster:
        trust.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    else:
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
    made = Gate()
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            return await made.pass_on(session, cluster["server"], request)

        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", pass_on)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield made
        finally:
            made.close()
            await runner.cleanup()

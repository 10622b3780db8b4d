"""One process that serves several ports until it has to stop, and stops cleanly."""

from __future__ import annotations

import asyncio
import gc
import itertools
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.types import ASGIApp

from tradecast.engine.http.certificates import Certificate
from tradecast.engine.http.connection_bounds import ConnectionBounds
from tradecast.engine.uvicorn.server import UvicornServer, create_config
from tradecast.engine.uvicorn.websocket_handshake import Upgrades
from tradecast.lifecycle.ports import PortInUse, bind_port, describe_families

log = structlog.stdlib.get_logger("tradecast.lifecycle")
# See gc.set_threshold: new objects until the youngest generation is collected, and how often the older ones are.
GARBAGE_THRESHOLDS = (20_000, 10, 50)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Listener:
    """An app and where it is served.

    Attributes:
        name: For logs and errors.
        upgrades: Where its WebSockets go; None: it has none.
        bounds: Limits the number of connections, and what each may do; None: the defaults.
        backlog: Connections that may wait to be accepted; all of them are accepted at once.
        tls_timeout: Maximum duration of a TLS handshake in seconds.
        tls: The certificate; None: no TLS.
        also_plain: Whether connections without TLS are served as well.
        moves: Whether another port may be used if this one is taken.
    """

    name: str
    app: ASGIApp
    host: str
    port: int
    upgrades: Upgrades | None = None
    bounds: ConnectionBounds | None = None
    backlog: int = 2048
    tls_timeout: float = 10
    moves: bool = False
    tls: Certificate | None = None
    also_plain: bool = False


class ProcessHooks:
    """Hooks for the start and stop of a process. These do nothing; override what is needed."""

    async def ports_bound(self, ports: Mapping[str, int]) -> None:
        """The ports are bound, and nothing is served yet.

        Args:
            ports: By the names of their listeners.
        """

    def listening(self) -> None:
        """All ports accept connections from now on."""

    async def before_stop(self) -> None:
        """The process is about to stop; all ports still accept connections. Disconnect clients here."""


class Process:
    """Serves listeners between `start` and `stop`.

    Args:
        listeners: What is served; the first is the public one.
        hooks: Called as it starts and stops.
        grace: Seconds given to requests that are under way when it stops.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        hooks: ProcessHooks,
        *,
        grace: float,
    ) -> None:
        self._listeners = listeners
        self._hooks = hooks
        self._grace = grace
        self._servers: list[UvicornServer] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.ports: dict[str, int] = {}

    async def start(self) -> None:
        """Listen on every port, and return when all are served.

        Raises:
            PortInUse: A port is taken or not allowed.
        """
        servers = [_create_server(listener, self._grace) for listener in self._listeners]
        sockets: list[list[socket.socket]] = []
        try:
            sockets.extend(_bind_listener(one) for one in self._listeners)
        except PortInUse:
            for bound in itertools.chain(*sockets):
                bound.close()
            raise
        for listener, found in zip(self._listeners, sockets, strict=True):
            self.ports[listener.name] = found[0].getsockname()[1]
        await self._hooks.ports_bound(self.ports)
        for listener, server, found in zip(self._listeners, servers, sockets, strict=True):
            self._servers.append(server)
            self._tasks.append(asyncio.create_task(server.serve(sockets=found), name=f"serve {listener.name}"))
        await asyncio.gather(*(server.ready.wait() for server in self._servers))
        self._hooks.listening()
        families = {one.name: describe_families(found) for one, found in zip(self._listeners, sockets, strict=True)}
        log.info("listening", **{f"{name}_port": port for name, port in self.ports.items()}, families=families)

    def connections(self, port: str) -> set[Any]:
        """The protocols of what is connected to the port of this name."""
        return next(server.bounds.connections for server in self._servers if server.name == port)

    async def stop(self) -> None:
        """Disconnect clients, finish what is under way, close the ports."""
        await self._hooks.before_stop()
        for server in self._servers:
            server.exit_soon()
        await asyncio.gather(*self._tasks)
        for server in self._servers:
            server.bounds.close()

    async def run_until_signal(self) -> None:
        """Serve until SIGINT or SIGTERM; a second one stops at once."""
        loop = asyncio.get_running_loop()
        stop, force = asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (force if stop.is_set() else stop).set()

        for number in SIGNALS:
            loop.add_signal_handler(number, on_signal)
        try:
            ended = asyncio.ensure_future(stop.wait())
            await asyncio.wait([ended, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            log.info("stopping")
            stopping, forced = asyncio.ensure_future(self.stop()), asyncio.ensure_future(force.wait())
            await asyncio.wait([stopping, forced], return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                log.warning("stopping at once: a second signal has come")
                stopping.cancel()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(stopping, *self._tasks, return_exceptions=True)
                for server in self._servers:
                    server.close_now()
            forced.cancel()
            if not stopping.cancelled():
                stopping.result()
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)


def tune_garbage_collection() -> None:
    """Collect garbage less often: connections make no cycles, and each collection goes through all of them.

    With Python's own thresholds a tenth of the processor time of 5,000 connections went there. It applies to the whole
    process, so `tradecast serve` does it, and a program that embeds the server may.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def _bind_listener(listener: Listener) -> list[socket.socket]:
    try:
        return bind_port(listener.host, listener.port, listener.backlog, listener.name)
    except PortInUse:
        if not listener.moves or not listener.port:
            raise
        found = bind_port(listener.host, 0, listener.backlog, listener.name)
        port = found[0].getsockname()[1]
        log.warning("a port is taken: another one is used", of=listener.name, taken=listener.port, port=port)
        return found


def _create_server(listener: Listener, grace: float) -> UvicornServer:
    bounds = listener.bounds or ConnectionBounds()
    config = create_config(listener.app, listener.upgrades, bounds, grace=max(1, round(grace)))
    config.load()
    return UvicornServer(
        config,
        listener.name,
        bounds,
        backlog=listener.backlog,
        tls=listener.tls,
        also_plain=listener.also_plain,
        tls_timeout=listener.tls_timeout,
        unsent=None if listener.upgrades is None else listener.upgrades.engine.limits.unsent,
    )

"""uvicorn's server without its signal handlers and its ten ticks a second, and with bounds on TLS handshakes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import uvicorn

from tradecast.engine.http.certificates import Certificate
from tradecast.engine.http.connection_bounds import ConnectionBounds
from tradecast.engine.http.tls import TlsListener
from tradecast.engine.uvicorn.protocol import bind_protocol
from tradecast.engine.uvicorn.websocket_handshake import Upgrades

# Seconds until the Date header of answers is written again.
DATE_INTERVAL: Final = 1.0


class UvicornServer(uvicorn.Server):
    """Serves one port. Whoever makes it decides when it stops.

    Args:
        config: As `create_config` makes it, and loaded.
        name: Of the port.
        bounds: On its connections.
        backlog: Connections that may wait to be accepted.
        tls: The certificate; None: the port speaks no TLS.
        also_plain: Whether connections that begin without TLS are served too, where there is a certificate.
        tls_timeout: Seconds that a TLS handshake may take.
        unsent: Bytes that the system may keep of a connection before it has sent them; None: as many as it likes.

    Attributes:
        name: As above.
        bounds: As above.
        ready: Set once the port is served.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        name: str,
        bounds: ConnectionBounds,
        *,
        backlog: int,
        tls: Certificate | None,
        also_plain: bool,
        tls_timeout: float,
        unsent: int | None = None,
    ) -> None:
        super().__init__(config)
        self.name = name
        self.bounds = bounds
        self.ready = asyncio.Event()
        self._backlog = backlog
        self._tls = tls
        self._also_plain = also_plain
        self._tls_timeout = tls_timeout
        self._unsent = unsent
        self._exit_requested = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, which has no way to count and bound TLS handshakes, and no lifespan here."""
        config, state, tls = self.config, self.server_state, self._tls

        def make_protocol() -> asyncio.Protocol:
            kind = cast(Callable[..., asyncio.Protocol], config.http_protocol_class)
            return kind(config=config, server_state=state, app_state={})

        self.servers = []
        for bound in sockets or ():
            if self._unsent is not None:
                limit_unsent(bound, self._unsent)
            if tls is not None:
                # It has what uvicorn, and this, use of a server.
                listening = TlsListener(
                    bound, tls, self._tls_timeout, self.bounds, make_protocol, also_plain=self._also_plain
                )
                self.servers.append(cast(asyncio.Server, listening))
                continue
            server = await asyncio.get_running_loop().create_server(make_protocol, sock=bound, backlog=self._backlog)
            self.servers.append(server)
        self.started = True
        self.ready.set()

    async def main_loop(self) -> None:
        """As uvicorn's, which wakes ten times a second: with three ports, most of what an idle process takes."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_INTERVAL):
                    await self._exit_requested.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await stop_accepting(*self.servers)
        await super().shutdown(sockets)

    def exit_soon(self) -> None:
        """Stop listening, and end when what is under way is finished."""
        self.should_exit = True
        self._exit_requested.set()

    def close_now(self) -> None:
        """Stop listening, and drop every connection."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        self.bounds.close()


def limit_unsent(listening: socket.socket, size: int) -> None:
    """Let the system keep little that it has not sent, of each connection that is accepted from now on.

    Else it takes megabytes for a client that reads slowly, all of it older than what comes next. Connections have this
    from the socket that they were accepted on (Linux), so it costs nothing for each. Nothing happens where there is no
    such option (TCP_NOTSENT_LOWAT).
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and listening.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # a system that has it in its headers only
            listening.setsockopt(socket.IPPROTO_TCP, option, size)


def create_config(
    app: Any,
    upgrades: Upgrades | None,
    bounds: ConnectionBounds,
    *,
    grace: int,
) -> uvicorn.Config:
    """Uvicorn's settings for one port.

    Args:
        app: The ASGI app.
        upgrades: Where WebSockets go; None: there are none.
        bounds: On the port's connections.
        grace: Seconds given to requests that are under way when the server stops.
    """
    return uvicorn.Config(
        app,
        http=bind_protocol(upgrades, bounds),  # the engine has WebSockets' raw connections
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=grace,
    )


async def stop_accepting(*servers: asyncio.Server) -> None:
    """Take no more connections, and let those that are being accepted come to their protocols. Close servers after it.

    asyncio's server forgets its sockets when it closes, and fails on a connection whose accept is still under way
    (`Server._attach`): nobody would ever close that.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.BaseEventLoop):  # uvloop's is none, and has no such gap
        for listening in (listening for server in servers for listening in server.sockets):
            loop.remove_reader(listening)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

"""A listener for TLS that counts connections from the first moment on, not from the end of their handshake."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Final, Protocol

from tradecast.engine.http.certificates import Certificate
from tradecast.engine.http.connection_bounds import ConnectionBounds, Phase

# Connections that are accepted in one turn of the event loop.
ACCEPTED_PER_TURN: Final = 100
# Seconds until the next try, when the system has no descriptor or memory for a connection.
PAUSE: Final = 1.0
# The first byte of a record that begins a handshake (RFC 8446, 5.1); no method of HTTP begins so.
HANDSHAKE: Final = 0x16
# Seconds that are left for a handshake at least, since event loops take no 0.
LEAST: Final = 0.01
log = logging.getLogger("tradecast.engine")


class ProtocolFactory(Protocol):
    """Makes the protocol of one connection."""

    def __call__(self) -> asyncio.Protocol:
        """A new one."""
        ...


class TlsListener:
    """Accepts connections and secures them, each in a task of its own.

    A server of asyncio's with a certificate tells nobody of a connection before its handshake is done, so that any
    number could wait there. `loop.start_tls` in a protocol of ours would lose what comes at once: uvloop reads between
    `connection_made` and the next callback.

    It has what uvicorn uses of `asyncio.Server`.

    Args:
        listening: The socket, which is closed with this.
        certificate: Each connection gets the one in effect.
        seconds: That a handshake may take, and the closing one.
        bounds: Where connections are counted.
        make_protocol: Makes the protocol of a connection whose handshake is done.
        also_plain: Whether a connection that begins with something else than a handshake is served without TLS.
    """

    def __init__(
        self,
        listening: socket.socket,
        certificate: Certificate,
        seconds: float,
        bounds: ConnectionBounds,
        make_protocol: ProtocolFactory,
        *,
        also_plain: bool = False,
    ) -> None:
        self._also_plain = also_plain
        self._socket = listening
        self._certificate = certificate
        self._seconds = seconds
        self._bounds = bounds
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._pausing: asyncio.TimerHandle | None = None
        self._closed = False
        listening.setblocking(False)
        self._loop.add_reader(listening, self._accept)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The socket; nothing once it is closed."""
        return () if self._closed else (self._socket,)

    def close(self) -> None:
        """Accept no more connections; open ones stay."""
        if not self._closed:
            self._closed = True
            if self._pausing is not None:
                self._pausing.cancel()
            self._loop.remove_reader(self._socket)
            self._socket.close()

    async def wait_closed(self) -> None:
        """Nothing: `close` waits for nothing."""

    def _accept(self) -> None:
        for _ in range(ACCEPTED_PER_TURN):
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("no connection can be accepted: %s", error.strerror)
                self._loop.remove_reader(self._socket)
                self._pausing = self._loop.call_later(PAUSE, self._continue)
                return
            accepted.setblocking(False)
            # asyncio does that only for sockets that were made with a protocol's number.
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handshake = TlsHandshake(self._bounds, self._make_protocol, also_plain=self._also_plain)
            handshake.begin(accepted, self._certificate.listening, self._seconds)

    def _continue(self) -> None:
        self._pausing = None
        self._loop.add_reader(self._socket, self._accept)


class TlsHandshake(asyncio.Protocol):
    """A connection whose handshake is under way; at its end it gets the protocol that it is for (`BoundedConnection`).

    Args:
        bounds: Where it is counted.
        make_protocol: Makes that protocol.
        also_plain: See `TlsListener`.

    Attributes:
        phase: See `BoundedConnection`.
    """

    def __init__(self, bounds: ConnectionBounds, make_protocol: ProtocolFactory, *, also_plain: bool = False) -> None:
        self._also_plain = also_plain
        self.phase: Phase | None = None
        self._bounds = bounds
        self._make_protocol = make_protocol
        self._task: asyncio.Task[None] | None = None
        self._begun = False

    def begin(self, accepted: socket.socket, context: ssl.SSLContext, seconds: float) -> None:
        """Secure a connection, or close it if there is no room."""
        if not self._bounds.admit(self):
            accepted.close()
            return
        self._task = asyncio.get_running_loop().create_task(self._secure(accepted, context, seconds))
        self._task.add_done_callback(lambda _: self._end(accepted))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start TLS, or serve the connection without TLS if that is allowed."""
        self._leave()
        protocol = self._make_protocol()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    async def _secure(self, accepted: socket.socket, context: ssl.SSLContext, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        try:
            if self._also_plain and not await _begins_with_tls(accepted, seconds):
                self._begun = True
                await loop.connect_accepted_socket(lambda: self, accepted)
                return
            self._begun = True
            await loop.connect_accepted_socket(
                lambda: self,
                accepted,
                ssl=context,
                ssl_handshake_timeout=max(until - loop.time(), LEAST),
                ssl_shutdown_timeout=seconds,
            )
        except ssl.SSLError:
            self._bounds.note_refusal("tls_error")
        except (ConnectionAbortedError, TimeoutError):  # the first is what event loops raise when the time has passed
            self._bounds.note_refusal("tls_timeout")
        except OSError:
            pass  # the client is gone

    def _end(self, accepted: socket.socket) -> None:
        self._leave()
        if not self._begun:  # cancelled before it could; else the event loop closes it
            accepted.close()

    def _leave(self) -> None:
        self._bounds.leave_phase(self)
        self._bounds.connections.discard(self)

    def shutdown(self) -> None:
        """Close the connection, as the server stops. uvicorn calls this."""
        self.abort()

    # -- `BoundedConnection`

    @property
    def body_received(self) -> int | None:
        """Never called: the connection has had no request yet."""
        return None

    @property
    def unsent(self) -> int:
        """Bytes that wait to be sent: none yet."""
        return 0

    def abort(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()

    def head_overdue(self) -> None:
        """Close the connection: its TLS handshake took too long."""
        self._bounds.note_refusal("tls_timeout")
        self.abort()

    def body_overdue(self) -> None:
        """There is no body."""

    def idle_overdue(self) -> None:
        """Never called: the connection has had no request yet."""


async def _begins_with_tls(accepted: socket.socket, seconds: float) -> bool:
    """Whether a connection's first byte begins a TLS handshake. The byte is left where it is.

    Raises:
        TimeoutError: None came in time.
        OSError: The client is gone.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        while True:
            readable = loop.create_future()
            loop.add_reader(accepted, _wake_reader, readable)
            try:
                await readable
            finally:
                loop.remove_reader(accepted)
            try:
                first = accepted.recv(1, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                continue
            if not first:
                raise ConnectionResetError
            return first[0] == HANDSHAKE


def _wake_reader(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)

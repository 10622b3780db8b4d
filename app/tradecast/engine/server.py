"""The Engine.IO server: connections by their ids, from their handshake to their end."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tradecast.background.tasks import TaskSet
from tradecast.engine.compression.deflate import Deflater
from tradecast.engine.compression.gzip import GzipAnswers
from tradecast.engine.connection import SERVER_DISCONNECT, Connection, finish_handler
from tradecast.engine.http.asgi import serve_polling, serve_websocket
from tradecast.engine.http.handshake import (
    FORBIDDEN,
    POLLING_WAITS,
    TRANSPORT_REFUSALS,
    UNKNOWN_SESSION,
    Refusal,
    check_query,
    check_websocket,
)
from tradecast.engine.http.origins import OriginPolicy
from tradecast.engine.http.request import Request
from tradecast.engine.ids import RandomSids, SidMaker, make_id
from tradecast.engine.message import Message
from tradecast.engine.observer import Observer
from tradecast.engine.python_engineio import PythonEngineIoApi
from tradecast.engine.timers import TimerWheel
from tradecast.engine.transports.backlog import Backlog, DrainWaiter
from tradecast.engine.transports.base import Closing, Limits, Transport, TransportName
from tradecast.engine.transports.polling import PollingTransport
from tradecast.engine.transports.secured import WriteReadiness
from tradecast.engine.transports.upgrade import Upgradable, Upgrade
from tradecast.engine.transports.websocket import GOODBYE
from tradecast.engine.transports.windows import Flushable, Windows
from tradecast.engine.turns import Turns

log = logging.getLogger("tradecast.engine")


class PollingPolicy(Protocol):
    """Decides whether clients may begin with polling."""

    def is_offered(self) -> bool:
        """Whether they may now."""
        ...


class PollingAlways:
    """Polling is offered (`PollingPolicy`)."""

    def is_offered(self) -> bool:
        """See `PollingPolicy`."""
        return True


@dataclass(frozen=True, slots=True)
class Compression:
    """Which messages and answers are compressed.

    Attributes:
        messages_above: Bytes above which WebSocket messages are; None: none is.
        answers: Whether large answers to polls are.
    """

    messages_above: int | None = None
    answers: bool = True


class EngineServer(PythonEngineIoApi):
    """The server's side of Engine.IO v4 (https://github.com/socketio/engine.io-protocol).

    Handlers are set with `on`. A plain function runs at once, where the packet was read, and must not block; what it
    returns, if that can be awaited, is awaited in a task of its own, and so is a coroutine function from its first
    instruction. Handlers of one client's messages run one after the other.

    Args:
        transports: Those offered: `polling`, `websocket`, or both.
        cors_allowed_origins: Origins whose pages may connect; `*`: all; None: the server's own.
        ping_interval: Seconds between an answer to a heartbeat and the next heartbeat.
        ping_timeout: Seconds within which a heartbeat must be answered.
        upgrade_timeout: Seconds an upgrade from polling to WebSocket may take.
        max_http_buffer_size: Bytes of the largest message or POST taken.
        first_message_limit: The same of a client until `trust` is called for it; None: as large.
        compression: What is compressed, for clients that agree.
        limits: Bounds on what waits for one client; None: as declared.
        environs: Whether connect handlers get the request as an environ, as python-engineio's do; else as a `Request`.
        observer: Is notified of clients that are cut off, and of heartbeats.
        sids: Makes the sids of new connections; None: random ones.
        polling: Whether a client may begin with polling, where that is among the transports; None: always.
        options: What python-engineio has and this does not need: such as `async_handlers` and `logger`.

    Attributes:
        sockets: The connections by their sids. Not to be changed.
        leaving: WebSockets whose connection has ended, and which are not closed yet.
        polling: As above.
        wheel: Calls connections when a heartbeat is due.
        limits: Bounds on what waits for a client.
        backlog: The clients for which something waits.
        windows: Flushes what waits for other messages.
        observer: As above.
        deflater: Compresses messages for WebSockets that have agreed to it; None: none may.
        gzip: Compresses answers to polls; None: they are not.
        turns: Has those who have sent much read by turns.
        readiness: Knows when the system takes more of WebSockets over TLS.
    """

    def __init__(
        self,
        *,
        transports: Collection[TransportName] | None = None,
        cors_allowed_origins: Collection[str] | Literal["*"] | None = None,
        ping_interval: float = 25,
        ping_timeout: float = 20,
        upgrade_timeout: float = 10,
        max_http_buffer_size: int = 1_000_000,
        first_message_limit: int | None = None,
        compression: Compression = Compression(),
        limits: Limits | None = None,
        environs: bool = True,
        observer: Observer | None = None,
        sids: SidMaker | None = None,
        polling: PollingPolicy | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.transports = tuple(transports or ("polling", "websocket"))
        self.origins = OriginPolicy(cors_allowed_origins)
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        self.upgrade_timeout = upgrade_timeout
        self.max_http_buffer_size = max_http_buffer_size
        self.first_message_limit = min(first_message_limit or max_http_buffer_size, max_http_buffer_size)
        self.limits = limits or Limits()
        self.backlog = Backlog(self.limits.patience)
        self.windows = Windows()
        self.observer = observer or Observer()
        self.turns = Turns()
        self.readiness = WriteReadiness()
        above = compression.messages_above
        self.deflater = None if above is None else Deflater(above, self.observer)
        self.gzip = GzipAnswers() if compression.answers else None
        self.sockets: dict[str, Connection] = {}
        self.leaving: set[Closing] = set()
        self.polling: PollingPolicy = polling or PollingAlways()
        self.wheel = TimerWheel(min(ping_interval, ping_timeout), max(ping_interval, ping_timeout))
        # The handshake packet behind its sid.
        self._opening = {name: self._rest_of_opening(name) for name in ("polling", "websocket")}
        self._environs = environs
        self._sids: SidMaker = sids or RandomSids()
        self._handlers: dict[str, Callable[..., Any]] = {}
        self._to_flush: list[Flushable] = []
        self._tasks = TaskSet()
        self._working: dict[Connection, asyncio.Task[None]] = {}
        # Of tasks: nobody's handler has set anything in it.
        self._context = contextvars.copy_context()
        # What was not sent yet when a polling client's transport was closed: for its next poll.
        self._final_payloads: dict[str, bytes] = {}
        self._nobody_leaves: asyncio.Event | None = None

    # -- requests and handlers

    def on(self, event: str, handler: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """Set the handler of `connect` (sid, environ), `message` (sid, data) or `disconnect` (sid, reason)."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self._handlers[event] = function
            return function

        return register if handler is None else register(handler)

    async def handle_request(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request or WebSocket of the Engine.IO path over ASGI."""
        request = Request.of_scope(scope)
        if request.websocket:
            await serve_websocket(self, request, receive, send)
        else:
            await serve_polling(self, request, receive, send)

    async def shutdown(self) -> None:
        """Stop the timers."""
        self.wheel.close()
        self.backlog.close()
        self.windows.close()
        self.readiness.close()

    # -- for the server above

    def deliver(self, sids: Iterable[str], message: Message) -> int:
        """Send one message to many clients; how many there were. Never waits; clients that are gone are passed over."""
        if message.window:
            return self._deliver_in_window(sids, message)
        count = 0
        find = self.sockets.get
        for sid in sids:
            connection = find(sid)
            if connection is not None:
                connection.transport.send(message)
                count += 1
        return count

    def _deliver_in_window(self, sids: Iterable[str], message: Message) -> int:
        connections = [connection for sid in sids if (connection := self.sockets.get(sid)) is not None]
        for connection in connections:
            connection.transport.send_in_window(message)
        return len(connections)

    def discard(self, sid: str, left: Collection[str], still_in: Collection[str]) -> None:
        """Drop what waits for a client that has left rooms, except what it gets for rooms that it is still in."""
        connection = self.sockets.get(sid)
        if connection is not None:
            connection.transport.discard(left, still_in)

    def is_backed_up(self, sid: str) -> bool:
        """Whether a client's link takes no more for now, so that what is sent waits; False if the client is gone."""
        connection = self.sockets.get(sid)
        return connection is not None and connection.transport.is_backed_up

    def notify_drained(self, sid: str, waiter: DrainWaiter) -> None:
        """Notify a waiter once nothing waits for a client any more; never, if the client goes before.

        A client that polls is backed up whenever no poll of it waits. So whoever is notified sends some, however
        `is_backed_up` answers then.
        """
        connection = self.sockets.get(sid)
        if connection is None:
            return
        if connection.transport.is_backed_up:
            self.backlog.notify(sid, waiter)
        else:
            asyncio.get_running_loop().call_soon(waiter.on_drained, sid)

    def trust(self, sid: str) -> None:
        """Take messages of the full size from a client; nothing happens if it is gone."""
        connection = self.sockets.get(sid)
        if connection is not None:
            connection.message_limit = self.max_http_buffer_size

    def close_transport(self, sid: str, code: int | None = None) -> None:
        """Close a client's transport behind what waits for it; nothing happens if it is gone.

        A WebSocket that ends without a close frame, as when its network fails, is one whose client reconnects at once:
        the C++ client takes code 1000 for an intended end and stays away, and Java's, with OkHttp, does not react to a
        close frame until its ping timeout.

        Args:
            sid: The client.
            code: For a WebSocket's close frame, where the client is to blame; None: there is none.
        """
        connection = self.sockets.get(sid)
        if connection is not None:
            connection.end(SERVER_DISCONNECT, code)

    def report_too_slow(self, sid: str) -> None:
        """Report that a client's transport is closed because too much waits for the client outside of its queue."""
        self.observer.client_too_slow(sid, "queue_full")

    def abort_transport(self, sid: str) -> None:
        """Close a client's transport at once; what waits for it is lost."""
        connection = self.sockets.get(sid)
        if connection is not None:
            connection.abort(SERVER_DISCONNECT)

    async def close_all(self, grace: float) -> None:
        """Close all transports, and wait up to `grace` seconds until they are closed."""
        for connection in list(self.sockets.values()):
            connection.end(SERVER_DISCONNECT, None)
        # A turn of the loop, so that clients that poll get their answers, and disconnect handlers are called.
        await asyncio.sleep(0)
        if self.leaving and grace > 0:
            self._nobody_leaves = asyncio.Event()
            try:
                async with asyncio.timeout(grace):
                    await self._nobody_leaves.wait()
            except TimeoutError:
                pass
        for transport in list(self.leaving):
            transport.abort()

    def transport_of(self, sid: str) -> TransportName | None:
        """The transport that a client uses now; None if it is gone."""
        connection = self.sockets.get(sid)
        return None if connection is None else connection.transport_name

    @property
    def count(self) -> int:
        """Connections, and WebSockets that are being closed."""
        return len(self.sockets) + len(self.leaving)

    # -- for transports

    def check(self, request: Request) -> Refusal | None:
        """Why a request cannot be served, whatever it is for; None if it can."""
        if not self.origins.accepts(request):
            return self._refuse(request, FORBIDDEN)
        refusal = check_query(request, self.transports)
        if refusal is None and "sid" not in request.query and request.query["transport"] == "polling":
            refusal = None if self.polling.is_offered() else POLLING_WAITS
        return None if refusal is None else self._refuse(request, refusal)

    def check_handshake(self, request: Request) -> Refusal | None:
        """Why a request cannot open a connection or a WebSocket, whatever the server's state; None if it can."""
        refusal = self.check(request) or (check_websocket(request) if request.websocket else None)
        request.checked = refusal is None
        return refusal

    def _refuse(self, request: Request, refusal: Refusal) -> Refusal:
        log.debug("engine request refused: %d %s", refusal.status, refusal.body.decode())
        return refusal

    def report_refusal(self, request: Request, refusal: Refusal) -> None:
        """Report a refusal that an operator may have to act on. To be called once, by whoever answers the request."""
        if refusal is FORBIDDEN:
            self.observer.origin_refused(*self.origins.find_reason(request))
            return
        for known, reason in TRANSPORT_REFUSALS:
            if refusal is known:
                self.observer.transport_refused(reason)

    def find(self, request: Request) -> Connection | Refusal | None:
        """The connection that a request is for; None: it asks for a new one."""
        sid = request.query.get("sid")
        if sid is None:
            return None
        connection = self.sockets.get(sid)
        return UNKNOWN_SESSION if connection is None or connection.closed else connection

    def open(self, request: Request, transport: Transport) -> Connection:
        """Begin a connection on a transport: send the handshake, then call the connect handler."""
        sid = self._sids.make_sid() or make_id()
        connection = Connection(self, sid, transport)
        self.sockets[sid] = connection
        transport.send(Message.of_packet(b'0{"sid":"%b",%b' % (sid.encode(), self._opening[transport.name])))
        # Earlier than an interval, by chance: the heartbeats of clients that came in one storm spread at once.
        connection.start_heartbeat(self.ping_interval * (0.5 + random.random() / 2))  # noqa: S311 no secret
        work = self._call("connect", sid, request.environ() if self._environs else request)
        if work is not None:
            connection.run(work)
        return connection

    def _rest_of_opening(self, transport: str) -> bytes:
        opening = {
            "upgrades": ["websocket"] if transport == "polling" and "websocket" in self.transports else [],
            "pingInterval": round(self.ping_interval * 1000),
            "pingTimeout": round(self.ping_timeout * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        return json.dumps(opening, separators=(",", ":")).encode()[1:]

    def begin_upgrade(self, connection: Connection, websocket: Upgradable) -> bool:
        """Let a WebSocket take over a connection that polls; whether it may try."""
        polling = connection.transport
        if not isinstance(polling, PollingTransport):
            return False
        Upgrade(self.upgrade_timeout, connection, polling, websocket)
        return True

    def call_message_handler(self, sid: str, data: str | bytes) -> Awaitable[object] | None:
        """Call the handler of messages; what is still to be awaited of it."""
        return self._call("message", sid, data)

    def flush_soon(self, transport: Flushable) -> None:
        """Flush a transport at the end of this turn of the event loop."""
        if not self._to_flush:
            asyncio.get_running_loop().call_soon(self._flush)
        self._to_flush.append(transport)

    def _flush(self) -> None:
        transports, self._to_flush = self._to_flush, []
        for transport in transports:
            transport.flush()

    def forget(self, connection: Connection, reason: str) -> None:
        """A connection has ended. Its disconnect handler is called soon: not now, in the middle of a delivery."""
        self.sockets.pop(connection.sid, None)
        if reason == SERVER_DISCONNECT and isinstance(connection.transport, PollingTransport):
            self._keep_final_payload(connection.sid, connection.transport)
        self._sessions.pop(connection.sid, None)
        self.backlog.forget(connection.sid)
        self.wheel.cancel(connection)
        asyncio.get_running_loop().call_soon(self._disconnected, connection.sid, reason)

    def _keep_final_payload(self, sid: str, transport: PollingTransport) -> None:
        """Keep what waits for a client that is between two polls: it polls once more before it knows of the end."""
        if not transport.polled and (payload := transport.take_all()):
            self._final_payloads[sid] = payload
            asyncio.get_running_loop().call_later(GOODBYE, self._final_payloads.pop, sid, None)

    def take_final_payload(self, request: Request) -> bytes | None:
        """What waits for a polling client whose transport was closed, once."""
        return self._final_payloads.pop(request.query.get("sid", ""), None) if self._final_payloads else None

    def is_leaving(self, transport: Closing) -> None:
        """A WebSocket's connection has ended, and it closes as soon as its client agrees."""
        self.leaving.add(transport)

    def has_left(self, transport: Closing) -> None:
        """A WebSocket is closed."""
        self.leaving.discard(transport)
        if self._nobody_leaves is not None and not self.leaving:
            self._nobody_leaves.set()

    def begin_work(self, connection: Connection, work: Coroutine[Any, Any, None]) -> None:
        """Run what a connection waits for in a task, which is kept with it until `end_work`."""
        task = asyncio.get_running_loop().create_task(work, context=self._context.copy())
        self._working[connection] = task

    def end_work(self, connection: Connection) -> None:
        """What a connection waited for is done."""
        self._working.pop(connection, None)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call it in the next turn of the event loop, in the server's own context."""
        asyncio.get_running_loop().call_soon(callback, context=self._context.copy())

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run in a task that is kept until it is done."""
        return self._tasks.spawn(work, context=self._context.copy())

    def _disconnected(self, sid: str, reason: str) -> None:
        work = self._call("disconnect", sid, reason)
        if work is not None:
            self.spawn(finish_handler(work))

    def _call(self, event: str, *arguments: Any) -> Awaitable[object] | None:
        handler = self._handlers.get(event)
        if handler is None:
            return None
        try:
            result = handler(*arguments)
        except Exception:
            log.exception("a handler failed")
            return None
        return result if result is not None and inspect.isawaitable(result) else None

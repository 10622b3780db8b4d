"""What becomes of each client: accepted or refused, connected, served, disconnected."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Coroutine
from typing import Any, NoReturn

import structlog

from tradecast.background.stepping import Done, step_coroutine
from tradecast.background.tasks import TaskSet
from tradecast.connections.connection import Connection
from tradecast.connections.metrics import ConnectionMetrics
from tradecast.connections.registry import ConnectionRegistry
from tradecast.connections.session_sync import SessionSync
from tradecast.delivery.errors import ConnectRefused, TryAgain
from tradecast.engine.http.request import Request
from tradecast.engine.ids import IdMaker
from tradecast.events import rooms
from tradecast.events.dispatcher import Dispatcher
from tradecast.events.subscriptions import is_subscription
from tradecast.gateway.application import Accepted, Resume
from tradecast.gateway.channel import NamespaceChannel
from tradecast.gateway.middleware import ConnectHandler, DefaultMiddleware, Middleware
from tradecast.gateway.quotas import ConnectionQuotas, identify_client
from tradecast.gateway.server import DISPLACED, SocketServer
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.room_names import NAMESPACE, qualify_room
from tradecast.packets.rooms import LocalManager
from tradecast.sessions.documents.cookies import read_session_cookie
from tradecast.sessions.errors import MESSAGES, AuthRefused, Reason, StoreUnavailable
from tradecast.sessions.revocation import RevocationWatcher
from tradecast.sessions.service import Sessions

make_id = IdMaker(9)
log = structlog.stdlib.get_logger("tradecast.server")


class Clients:
    """Decides about clients (`Application`).

    Args:
        middleware: What whoever runs the server has set for new clients.
        defaults: What is done where nothing is set.
        sessions: Where clients' sessions are.
        quotas: Count what connections hold of their users' quotas.
        dispatcher: Carries out events.
        registry: The connections of this server.
        sync: Keeps them in step with their sessions.
        watcher: Notices sessions that change in the store.
        metrics: Counts.
        lines: Writes what clients can cause.
        cookie: The session cookie's name; None: none is read.
        is_local: Whether nothing is shared with other servers.
    """

    def __init__(
        self,
        middleware: Middleware,
        defaults: DefaultMiddleware,
        sessions: Sessions,
        quotas: ConnectionQuotas,
        dispatcher: Dispatcher,
        registry: ConnectionRegistry,
        manager: LocalManager,
        server: SocketServer[Clients],
        sync: SessionSync,
        watcher: RevocationWatcher,
        metrics: ConnectionMetrics,
        lines: ThrottledLog,
        *,
        cookie: str | None,
        is_local: bool,
    ) -> None:
        self._middleware = middleware
        self._defaults = defaults
        self._sessions = sessions
        self._quotas = quotas
        self._dispatcher = dispatcher
        self._registry = registry
        self._manager = manager
        self._server = server
        self._sync = sync
        self._watcher = watcher
        self._metrics = metrics
        self._lines = lines
        self._cookie = cookie
        self._is_local = is_local
        self._channels: dict[str, NamespaceChannel] = {}
        self.tasks = TaskSet()

    # -- `Application`

    @property
    def connects_at_once(self) -> bool:
        """Whether `connecting` waits for nothing now."""
        # Only with our own middleware and no connect handler: what others wrote is awaited in a task.
        return self._is_local and self._middleware.is_default and self._sessions.is_local

    def has_namespace(self, namespace: str) -> bool:
        """Whether there is such a namespace."""
        return self._dispatcher.has_namespace(namespace)

    def read_handshake(self, request: Request) -> str | None:
        """The session id in the handshake's cookie; None where none is to be read, or is there."""
        return None if self._cookie is None else read_session_cookie(request, self._cookie)

    async def connecting(
        self, sid: str, auth: Any, kept: str | None, transport: str, resume: Resume, namespace: str
    ) -> Accepted:
        """Authenticate a client, resume its lost connection if possible, and count it."""
        eio_sid = self._manager.eio_sid_from_sid(sid, namespace) or ""
        connection = Connection(
            sid,
            make_id(),
            self._channel(namespace),
            claims=auth,
            connected_at=time.time(),
            transport=transport,
            namespace=namespace,
            transport_sid=eio_sid,
            cookie=kept or self._find_cookie(eio_sid),
        )
        connection.reuses_transport = self._server.transport_table.has_left(connection.transport_sid)
        started = time.time()
        counted: list[str] = []  # subscriptions of before, for which it holds quotas already
        connection.changes_seen = self._watcher.changes
        try:
            await (self._middleware.authenticate or self._defaults.authenticate)(connection)
            resumed = await self._quotas.resume(connection, resume, counted)
            if resumed is not None:
                connection.sid = resumed.sid
            await (self._middleware.limit or self._defaults.limit)(connection)
            session = connection.session
            if session is not None and self._sessions.is_revoked_since(session.id, started):
                raise AuthRefused("SESSION_NOT_FOUND", "revoked")  # deleted between being read and getting here
        except asyncio.CancelledError:
            self._finish(self._quotas.release_recoverable(connection, counted))
            raise
        except Exception as error:
            await self._quotas.release_recoverable(connection, counted)
            await self._refuse(connection, error)
        # Of a second namespace's CONNECT the session is enough; the cookie itself is not kept.
        connection.cookie = None
        if self._middleware.welcome is None:
            connection.claims = None  # up to a megabyte of the client's choice, with the session id in it
        user = connection.user
        first = [rooms.MARKET_STATUS] if namespace == NAMESPACE else []
        if user is not None:
            first += [rooms.user(user.id), rooms.AUTHENTICATED]
        return Accepted(
            identify_client(connection),
            connection.id,
            [qualify_room(namespace, room) for room in first],
            authenticated=user is not None,
            note=(connection, counted),
        )

    def connected(self, sid: str, accepted: Accepted, *, recovered: bool) -> Awaitable[None] | None:
        """A client is in: it is registered, and its session watched."""
        connection, _ = _read_note(accepted)
        self._registry.add(connection)
        user = connection.user
        if connection.session is not None and user is not None:
            self._sync.expiry.watch(connection.session.id, connection.session.expires_at)
            self._watcher.recheck(connection.session, connection.changes_seen)
        self._metrics.connected(connection.transport)
        fields = {"user_id": user.id if user else None, "transport": connection.transport, "recovered": recovered}
        self._log(connection, "connected", **fields)
        welcome = self._middleware.welcome
        return None if welcome is None else self._welcome(connection, welcome)

    def abandoned(self, accepted: Accepted, *, displaced: bool, failed: bool = False) -> None:
        """A client that was accepted is not let in after all: what was counted for it is given back."""
        connection, counted = _read_note(accepted)
        connection.closed = True
        if failed:
            self._metrics.connect_failed("INTERNAL")
        self._lines.write(log.info, "connection abandoned", connection_id=connection.id, displaced=displaced)
        if not displaced:
            self._finish(self._quotas.release_recoverable(connection, counted))
        elif connection.user is not None and self._registry.get(connection.sid) is None:
            # Its client has resumed with another connection, here or on another server, which counts the quotas now.
            self._quotas.hand_over(connection, counted)

    def event(self, sid: str, name: str, arguments: list[Any]) -> Any:
        """Carry out a client's event."""
        connection = self._registry.get(sid)
        return None if connection is None else self._dispatcher.dispatch(connection, name, arguments)

    def disconnected(self, sid: str, reason: str) -> None:
        """A client has gone: what it cannot recover is not counted any more."""
        connection = self._registry.remove(sid)
        if connection is None:
            return
        connection.closed = True
        self._metrics.disconnected(reason)
        self._log(connection, "disconnected", reason=reason)
        if connection.session is not None and not self._registry.of_session(connection.session.id):
            self._sync.expiry.unwatch(connection.session.id)
        subscriptions = [room for room in connection.rooms if is_subscription(room)]
        if reason == DISPLACED and connection.user is not None:
            self._quotas.hand_over(connection, subscriptions)
        elif self._server.may_come_back(sid, connection.namespace):
            self._finish(self._quotas.release_recoverable(connection, subscriptions))
        else:
            self._finish(self._quotas.release(connection, subscriptions))

    # -- the steps of the above

    def _channel(self, namespace: str) -> NamespaceChannel:
        channel = self._channels.get(namespace)
        if channel is None:
            channel = self._channels[namespace] = NamespaceChannel(self._server, namespace)
        return channel

    def _find_cookie(self, eio_sid: str) -> str | None:
        """The session id of a client that is in by its cookie, for another namespace on the same transport."""
        if self._cookie is None:
            return None
        for namespace in self._manager.namespaces_of(eio_sid):
            sid = self._manager.sid_from_eio_sid(eio_sid, namespace)
            other = None if sid is None else self._registry.get(sid)
            if other is not None and other.session is not None and other.by_cookie:
                return self._sessions.sign(other.session.id)
        return None

    async def _refuse(self, connection: Connection, error: Exception) -> NoReturn:
        """Count and log why a client is not let in, and raise that for the Socket.IO server.

        Raises:
            ConnectRefused: The client must not come back as it is.
            TryAgain: The client retries.
        """
        if isinstance(error, AuthRefused):
            self._record_refusal(connection, error.code, error.reason)
            raise ConnectRefused(error.code, MESSAGES[error.code]) from None
        if isinstance(error, ConnectRefused):
            self._record_refusal(connection, error.code)
            raise error
        if isinstance(error, TryAgain):
            self._record_refusal(connection, "TRY_AGAIN", failed=True)
            raise error
        if isinstance(error, StoreUnavailable):
            self._metrics.connect_failed("STORE_UNAVAILABLE")
            sentence = "connection deferred: the session store does not answer"
            kind = "" if error.cause is None else str(error.cause.code)
            self._lines.write(log.warning, sentence, kind=kind, connection_id=connection.id, **error.fields())
        else:
            self._metrics.connect_failed("INTERNAL")
            log.error("connection deferred", connection_id=connection.id, exc_info=error)
        # Standard clients reconnect about a second after a close; waiting here spreads them.
        await asyncio.sleep(random.uniform(0.1, 1.0))  # noqa: S311 no secret
        raise TryAgain from None

    def _record_refusal(
        self, connection: Connection, code: str, reason: Reason | None = None, *, failed: bool = False
    ) -> None:
        (self._metrics.connect_failed if failed else self._metrics.connect_refused)(code)
        if reason is not None:
            self._metrics.auth_refused(reason)
        fields = {"connection_id": connection.id, "code": code, "reason": reason}
        self._lines.write(log.info, "connection refused", kind=reason or code, **fields)

    async def _welcome(self, connection: Connection, handler: ConnectHandler) -> None:
        try:
            await handler(connection)
        except Exception:
            log.exception("the connect handler failed", connection_id=connection.id)
        finally:
            connection.claims = None

    def _log(self, connection: Connection, sentence: str, **fields: Any) -> None:
        """Log what becomes of a client: always of a transport's first one, throttled of those that follow on it."""
        if connection.reuses_transport:
            self._lines.write(log.info, sentence, kind="again", connection_id=connection.id, **fields)
        else:
            log.info(sentence, connection_id=connection.id, **fields)

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what is left of a client that has gone: at once where nothing has to be waited for."""
        stepped = step_coroutine(work) if self._is_local else work
        if not isinstance(stepped, Done):
            self.tasks.spawn(stepped)


def _read_note(accepted: Accepted) -> tuple[Connection, list[str]]:
    """What `connecting` has noted: the connection, and the rooms that were counted for it before it was let in."""
    note: tuple[Connection, list[str]] = accepted.note
    return note

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
from tradecast.connections.records import ConnectionRecords
from tradecast.connections.session_watch import SessionWatch
from tradecast.delivery.errors import ConnectRefused, TryAgain
from tradecast.engine.http.request import Request
from tradecast.engine.ids import IdMaker
from tradecast.events import rooms
from tradecast.events.dispatcher import Dispatcher
from tradecast.events.subscriptions import is_subscription
from tradecast.gateway.application import Accepted, Resume
from tradecast.gateway.channel import NamespaceChannel
from tradecast.gateway.middleware import ConnectHandler, ConnectSteps
from tradecast.gateway.quotas import ConnectionQuotas, identify_client
from tradecast.gateway.server import DISPLACED, SocketServer
from tradecast.packets.room_names import NAMESPACE, qualify_room
from tradecast.packets.rooms import LocalManager
from tradecast.sessions.documents.cookies import read_session_cookie
from tradecast.sessions.errors import MESSAGES, AuthRefused
from tradecast.sessions.service import Sessions

make_id = IdMaker(9)
log = structlog.stdlib.get_logger("tradecast.server")


class Clients:
    """Decides about clients (`Application`).

    Args:
        steps: Authenticate new clients, limit them, and welcome them.
        sessions: Signs session ids, and knows which of them are revoked.
        connections: Registers connections, and has their sessions watched.
        quotas: Count connections and subscriptions of users.
        dispatcher: Carries out events.
        records: Count and log what becomes of clients.
        manager: The rooms of this server, and the clients of each transport.
        server: Sends to clients, and knows their transports.
        cookie: Name of the session cookie; None: no cookie is read.
        is_local: Whether nothing is shared with other servers.
    """

    def __init__(
        self,
        steps: ConnectSteps,
        sessions: Sessions,
        connections: SessionWatch,
        quotas: ConnectionQuotas,
        dispatcher: Dispatcher,
        records: ConnectionRecords,
        manager: LocalManager,
        server: SocketServer[Clients],
        *,
        cookie: str | None,
        is_local: bool,
    ) -> None:
        self._steps = steps
        self._sessions = sessions
        self._connections = connections
        self._quotas = quotas
        self._dispatcher = dispatcher
        self._records = records
        self._manager = manager
        self._server = server
        self._cookie = cookie
        self._is_local = is_local
        self._channels: dict[str, NamespaceChannel] = {}
        self.tasks = TaskSet()

    # -- `Application`

    @property
    def connects_at_once(self) -> bool:
        """Whether `connecting` waits for nothing now."""
        # Only with our own middleware and no connect handler: what others wrote is awaited in a task.
        return self._is_local and self._steps.is_default and self._sessions.is_local

    def has_namespace(self, namespace: str) -> bool:
        """Whether there is such a namespace."""
        return self._dispatcher.has_namespace(namespace)

    def read_handshake(self, request: Request) -> str | None:
        """The session id in the handshake's cookie; None if there is none, or no cookie is read."""
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
        self._connections.prepare(connection)
        try:
            await self._steps.authenticate(connection)
            resumed = await self._quotas.resume(connection, resume, counted)
            if resumed is not None:
                connection.sid = resumed.sid
            await self._steps.limit(connection)
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
        if self._steps.welcome is None:
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
        """Register a client that has been connected, and watch its session."""
        connection, _ = _read_note(accepted)
        self._connections.add(connection)
        self._records.connected(connection, recovered=recovered)
        welcome = self._steps.welcome
        return None if welcome is None else self._welcome(connection, welcome)

    def abandoned(self, accepted: Accepted, *, displaced: bool, failed: bool = False) -> None:
        """Release the quotas of a client that was accepted, but is not connected after all."""
        connection, counted = _read_note(accepted)
        connection.closed = True
        self._records.abandoned(connection, displaced=displaced, failed=failed)
        if not displaced:
            self._finish(self._quotas.release_recoverable(connection, counted))
        elif connection.user is not None and self._connections.find(connection.sid) is None:
            # Its client has resumed with another connection, here or on another server, which counts the quotas now.
            self._quotas.hand_over(connection, counted)

    def event(self, sid: str, name: str, arguments: list[Any]) -> Any:
        """Carry out a client's event."""
        connection = self._connections.find(sid)
        return None if connection is None else self._dispatcher.dispatch(connection, name, arguments)

    def disconnected(self, sid: str, reason: str) -> None:
        """Release the quotas of a client that has left, except those of what it can recover."""
        connection = self._connections.remove(sid)
        if connection is None:
            return
        self._records.disconnected(connection, reason)
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
        """The session id of a client that was authenticated by its cookie, for another namespace on its transport."""
        if self._cookie is None:
            return None
        for namespace in self._manager.namespaces_of(eio_sid):
            sid = self._manager.sid_from_eio_sid(eio_sid, namespace)
            other = None if sid is None else self._connections.find(sid)
            if other is not None and other.session is not None and other.by_cookie:
                return self._sessions.sign(other.session.id)
        return None

    async def _refuse(self, connection: Connection, error: Exception) -> NoReturn:
        """Record why a client is refused, and raise the refusal for the Socket.IO server.

        Raises:
            ConnectRefused: The client is refused finally.
            TryAgain: The client retries.
        """
        if isinstance(error, AuthRefused):
            self._records.refused(connection, error.code, error.reason)
            raise ConnectRefused(error.code, MESSAGES[error.code]) from None
        if isinstance(error, ConnectRefused):
            self._records.refused(connection, error.code)
            raise error
        if isinstance(error, TryAgain):
            self._records.asked_to_retry(connection)
            raise error
        self._records.deferred(connection, error)
        # Standard clients reconnect about a second after a close; waiting here spreads them.
        await asyncio.sleep(random.uniform(0.1, 1.0))  # noqa: S311 no secret
        raise TryAgain from None

    async def _welcome(self, connection: Connection, handler: ConnectHandler) -> None:
        try:
            await handler(connection)
        except Exception:
            log.exception("the connect handler failed", connection_id=connection.id)
        finally:
            connection.claims = None

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Finish the work for a client that has left: at once if it waits for nothing, else in a task."""
        stepped = step_coroutine(work) if self._is_local else work
        if not isinstance(stepped, Done):
            self.tasks.spawn(stepped)


def _read_note(accepted: Accepted) -> tuple[Connection, list[str]]:
    """What `connecting` has noted: the connection, and the rooms that were counted for it before it was accepted."""
    note: tuple[Connection, list[str]] = accepted.note
    return note

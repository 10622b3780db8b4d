"""What becomes of each client: who is let in, goes on, is ended, and what it holds meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Collection, Coroutine
from typing import Any, Final, NoReturn

import structlog

from tradecast.background.stepping import Done, step
from tradecast.background.tasks import TaskSet
from tradecast.cluster_rpc.local_clients import Described
from tradecast.connections.connection import Connection
from tradecast.connections.metrics import ConnectionMetrics
from tradecast.connections.registry import ConnectionRegistry
from tradecast.connections.session_sync import SessionSync
from tradecast.delivery.errors import ConnectRefused, TryAgain
from tradecast.delivery.hub import NAMESPACE
from tradecast.engine.http.request import Request
from tradecast.engine.ids import IdMaker
from tradecast.events import rooms
from tradecast.events.dispatcher import Dispatcher
from tradecast.events.subscriptions import is_subscription, may_be_in, subscription_member
from tradecast.gateway.application import Accepted, Resume
from tradecast.gateway.channel import NamespaceChannel
from tradecast.gateway.middleware import ConnectHandler, Middleware
from tradecast.gateway.server import DISPLACED, SocketServer
from tradecast.limits.limiter import RateLimiter
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.rooms import LocalManager, qualify
from tradecast.sessions.documents.cookies import read_session_cookie
from tradecast.sessions.errors import MESSAGES, AuthRefused, Reason, StoreUnavailable
from tradecast.sessions.revocation import RevocationWatcher
from tradecast.sessions.service import Sessions

ANONYMOUS: Final = "anonymous"
make_id = IdMaker(9)
log = structlog.stdlib.get_logger("tradecast.server")


class Clients:
    """Decides about clients as the Socket.IO server asks (`Application`), and keeps count of what they hold.

    Args:
        middleware: Authentication, limits, and what is done for a client that is in.
        sessions: Where clients' sessions are.
        limiter: Counts connections and subscriptions of users.
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
        sessions: Sessions,
        limiter: RateLimiter,
        dispatcher: Dispatcher,
        registry: ConnectionRegistry,
        manager: LocalManager,
        socket_server: SocketServer,
        sync: SessionSync,
        watcher: RevocationWatcher,
        metrics: ConnectionMetrics,
        lines: ThrottledLog,
        *,
        cookie: str | None,
        is_local: bool,
    ) -> None:
        self._middleware = middleware
        self._sessions = sessions
        self._limiter = limiter
        self._dispatcher = dispatcher
        self._registry = registry
        self._manager = manager
        self._sio = socket_server
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
        own = self._middleware.is_own and self._middleware.welcome is None
        return self._is_local and own and self._sessions.at_hand

    def has_namespace(self, namespace: str) -> bool:
        """Whether there is such a namespace."""
        return self._dispatcher.has_namespace(namespace)

    def read_handshake(self, request: Request) -> str | None:
        """The session id in the handshake's cookie; None where none is to be read, or is there."""
        return None if self._cookie is None else read_session_cookie(request, self._cookie)

    async def connecting(
        self, sid: str, auth: Any, kept: str | None, transport: str, resume: Resume, namespace: str
    ) -> Accepted:
        """Authenticate a client, let it go on if it can, and count it."""
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
        connection.again = self._sio.has_left(connection.transport_sid)
        started = time.time()
        counted: list[str] = []  # subscriptions of before, for which it holds quotas already
        connection.changes = self._watcher.changes
        try:
            if self._middleware.authenticate is not None:
                await self._middleware.authenticate(connection)
            await self._go_on(connection, resume, counted)
            if self._middleware.limit is not None:
                await self._middleware.limit(connection)
            session = connection.session
            if session is not None and self._sessions.is_revoked_since(session.id, started):
                raise AuthRefused("SESSION_NOT_FOUND", "revoked")  # deleted between being read and getting here
        except asyncio.CancelledError:
            self._finish(self._lose(connection, counted))
            raise
        except Exception as error:
            await self._lose(connection, counted)
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
            _identity(connection),
            connection.id,
            [qualify(namespace, room) for room in first],
            authenticated=user is not None,
            note=(connection, counted),
        )

    def connected(self, sid: str, accepted: Accepted, *, recovered: bool) -> Awaitable[None] | None:
        """A client is in: it is registered, and its session watched."""
        connection, _ = _note(accepted)
        self._registry.add(connection)
        user = connection.user
        if connection.session is not None and user is not None:
            self._sync.expiry.watch(connection.session.id, connection.session.expires_at)
            self._watcher.look_again(connection.session, connection.changes)
        self._metrics.connected(connection.transport)
        fields = {"user_id": user.id if user else None, "transport": connection.transport, "recovered": recovered}
        self._log(connection, "connected", **fields)
        welcome = self._middleware.welcome
        return None if welcome is None else self._welcome(connection, welcome)

    def abandoned(self, accepted: Accepted, *, displaced: bool) -> None:
        """A client that was accepted is not let in after all: what was counted for it is given back."""
        connection, counted = _note(accepted)
        connection.closed = True
        self._lines.write(log.info, "connection abandoned", connection_id=connection.id, displaced=displaced)
        if not displaced:
            self._finish(self._lose(connection, counted))
        elif connection.user is not None and self._registry.get(connection.sid) is None:
            # It goes on on another server, which counts it now. On this one, all of it is the other connection's.
            members = [subscription_member(connection, room) for room in counted]
            self._limiter.hand_over(connection.user.id, connection.id, members)

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
        held = [room for room in connection.rooms if is_subscription(room)]
        if reason == DISPLACED and connection.user is not None:
            members = [subscription_member(connection, room) for room in held]
            self._limiter.hand_over(connection.user.id, connection.id, members)
        elif self._sio.may_come_back(sid, connection.namespace):
            self._finish(self._lose(connection, held))
        else:
            self._finish(self._give_back(connection, held))

    # -- what else is asked of clients

    def may_recover(self, user: str, pid: str, *, blind: bool) -> bool:
        """Whether a client may try to go on once more (`Hub`)."""
        return self._limiter.may_recover(None if user == ANONYMOUS else user, pid, blind=blind)

    def describe(self, sid: str) -> Described | None:
        """A client as other servers are told of it."""
        connection = self._registry.get(sid)
        if connection is None:
            return None
        user = connection.user
        eio_sid = self._manager.eio_sid_from_sid(sid, NAMESPACE)
        transport = self._sio.eio.transport_of(eio_sid) if eio_sid is not None else None
        return Described(
            connection.id,
            user.id if user else None,
            transport or "",
            connection.connected_at,
            connection.public_handshake,
            connection.data if connection.has_data else {},
        )

    async def probe(self, user_id: str, patience: float) -> list[tuple[str, float, bool]]:
        """Ask all of a user's clients here for a sign of life: id, seconds of silence, whether it has answered."""
        connections = self._registry.of_user(user_id)
        silent = await self._sio.find_silent({one.transport_sid for one in connections}, patience)
        return [
            (one.id, silent.get(one.transport_sid, 0.0), one.transport_sid not in silent)
            for one in connections
            if not one.closed
        ]

    def replace(self, user_id: str, connection_id: str) -> bool:
        """End a user's connection whose client does not answer; whether it was here."""
        for one in self._registry.of_user(user_id):
            if one.id == connection_id:
                log.info("connection replaced: its client does not answer", connection_id=connection_id)
                return self._sio.give_up(one.transport_sid)
        return False

    # -- the steps of the above

    def _channel(self, namespace: str) -> NamespaceChannel:
        channel = self._channels.get(namespace)
        if channel is None:
            channel = self._channels[namespace] = NamespaceChannel(self._sio, namespace)
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

    async def _go_on(self, connection: Connection, resume: Resume, counted: list[str]) -> None:
        """Take up the connection that the client has lost, if it asks for that and can have it.

        The subscriptions that it counts for it go to `counted`.
        """
        user, own_id = connection.user, connection.id

        async def take_up(connection_id: str, held: Collection[str]) -> bool:
            connection.id = connection_id
            if user is None:
                return True
            subscriptions = [room for room in held if is_subscription(room)]
            counted.extend(room for room in subscriptions if may_be_in(user, room))
            for room in subscriptions:
                if room not in counted:  # its tier has changed since
                    await self._limiter.decrement_subscription(user.id, subscription_member(connection, room))
            members = [subscription_member(connection, room) for room in counted]
            return await self._limiter.take_up_subscriptions(user.id, members)

        resumed = await resume(_identity(connection), lambda room: user is None or may_be_in(user, room), take_up)
        if resumed is not None:
            connection.sid = resumed.sid
            return
        if user is not None:
            for room in counted:  # nothing goes on: what was kept for that is not needed any more
                await self._limiter.decrement_subscription(user.id, subscription_member(connection, room))
        counted.clear()
        connection.id = own_id

    async def _refuse(self, connection: Connection, error: Exception) -> NoReturn:
        """Count and log why a client is not let in, and say so to the Socket.IO server.

        Raises:
            ConnectRefused: The client must not come back as it is.
            TryAgain: It comes back by itself.
        """
        if isinstance(error, AuthRefused):
            self._tell_refused(connection, error.code, error.reason)
            raise ConnectRefused(error.code, MESSAGES[error.code]) from None
        if isinstance(error, ConnectRefused):
            self._tell_refused(connection, error.code)
            raise error
        if isinstance(error, TryAgain):
            self._tell_refused(connection, "TRY_AGAIN")
            raise error
        if isinstance(error, StoreUnavailable):
            self._metrics.refused("STORE_UNAVAILABLE")
            sentence = "connection put off: the session store does not answer"
            kind = "" if error.cause is None else str(error.cause.code)
            self._lines.write(log.warning, sentence, kind=kind, connection_id=connection.id, **error.fields())
        else:
            self._metrics.refused("INTERNAL")
            log.error("connection put off", connection_id=connection.id, exc_info=error)
        # Stock clients come back about a second after a close; waiting here spreads them.
        await asyncio.sleep(random.uniform(0.1, 1.0))  # noqa: S311 no secret
        raise TryAgain from None

    def _tell_refused(self, connection: Connection, code: str, reason: Reason | None = None) -> None:
        self._metrics.refused(code)
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

    async def _give_back(self, connection: Connection, held: Collection[str] = ()) -> None:
        """Return what a connection holds of its user's quotas."""
        user = connection.user
        if user is None:
            return
        for room in held:
            await self._limiter.decrement_subscription(user.id, subscription_member(connection, room))
        await self._limiter.release_connection(user.id, connection.id)

    async def _lose(self, connection: Connection, held: Collection[str]) -> None:
        """As `_give_back`, but what its client can still recover stays counted until that is over."""
        user = connection.user
        if user is None:
            return
        await self._limiter.lose_subscriptions(user.id, [subscription_member(connection, room) for room in held])
        await self._limiter.release_connection(user.id, connection.id)

    def _log(self, connection: Connection, sentence: str, **fields: Any) -> None:
        """Tell what becomes of a client: of each transport's first one always, seldom of those that come after it."""
        if connection.again:
            self._lines.write(log.info, sentence, kind="again", connection_id=connection.id, **fields)
        else:
            log.info(sentence, connection_id=connection.id, **fields)

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what is left of a client that has gone: at once where nothing has to be waited for."""
        stepped = step(work) if self._is_local else work
        if not isinstance(stepped, Done):
            self.tasks.spawn(stepped)


def _note(accepted: Accepted) -> tuple[Connection, list[str]]:
    """What `connecting` has noted: the connection, and the rooms that were counted for it before it was let in."""
    note: tuple[Connection, list[str]] = accepted.note
    return note


def _identity(connection: Connection) -> str:
    """Whose a connection is, for its recovery. No user's id can be what stands for all anonymous clients."""
    return ANONYMOUS if connection.user is None else f"user:{connection.user.id}"

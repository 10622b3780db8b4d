"""The emitters for other processes: a back end, a job, the demo's feed."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, Self, TypeVar

from tradecast.config.settings import Settings, SettingsError, load_settings
from tradecast.delivery.create import create_writer
from tradecast.delivery.envelope import VOLATILE, Envelope, encode_envelope
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.redis.options import NullBrokerObserver
from tradecast.delivery.redis.writer import publish_to_other_mode
from tradecast.events.emitters import Emitters, EventPayload
from tradecast.events.kinds import kind_of
from tradecast.events.symbols import Symbols
from tradecast.packets.codec import arguments_of
from tradecast.packets.rooms import Emitted, Room, Rooms, room_name, room_names
from tradecast.redis_client.client import create_redis

T = TypeVar("T")


class Publisher(Emitters):
    """Emits to the clients of every server, through Redis, without being a server.

    ```python
    async with Publisher() as publisher:
        await publisher.emit_trade_executed("u1", {"symbol": "AAPL", "quantity": 5, "price": 512.4})
    ```

    Events of one publisher are delivered in the order in which its emitters were called. Many at a time
    (`asyncio.gather`) share round trips. An event that cannot be handed to Redis at once waits (PUBLISH_TIMEOUT,
    PUBLISH_BUFFER); then its emitter raises `AdapterUnavailable`, and nobody has it; or `PublishUncertain`, where the
    answer of Redis is missing. Repeat the first kind, not the second, or clients may get it twice.

    Without `async with` it closes itself when its event loop ends by `asyncio.run`. From its first event on it belongs
    to that loop and process: in another one its emitters raise RuntimeError. It logs nothing until the program
    configures logging (the standard library's loggers `tradecast.…`, or structlog).

    Args:
        settings: REDIS_URL and what belongs to it; None: from the environment. RECOVERY_WINDOW, HISTORY_EVENTS,
            PING_INTERVAL and PING_TIMEOUT should be those of the servers: they say how long events are kept.
        on_emitted: Told each event that Redis took.
        both: Whether servers of both modes shall hear it, whichever mode the fleet is in: each event is then published
            twice, one after the other (first where ADAPTER_MODE says; if only the second fails, that is a
            `PublishUncertain`). None: where there is a REDIS_CLUSTER_URL. False: those of ADAPTER_MODE alone.

    Raises:
        SettingsError: There is no REDIS_URL, or none for both modes; or ADAPTER_MODE is `single`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        on_emitted: Emitted = lambda event, recipients: None,
        *,
        both: bool | None = None,
    ) -> None:
        settings = settings or load_settings()
        if settings.redis_url is None:
            raise SettingsError("REDIS_URL: is needed to publish to servers")
        if settings.mode == "single":
            raise SettingsError("ADAPTER_MODE: servers in mode single hear nobody")
        if both and settings.other_mode is None:
            raise SettingsError("REDIS_CLUSTER_URL: is needed to publish for both modes")
        self.redis = create_redis(settings)
        self.place = create_redis(settings, settings.adapter_url).place
        self._writer = create_writer(settings, settings.mode, NullBrokerObserver())
        other = settings.other_mode if both is not False else None
        self._other = None if other is None else create_writer(settings, other, NullBrokerObserver())
        self._guard: AsyncGenerator[None] | None = None
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._closed = False
        self._on_emitted = on_emitted
        super().__init__(Symbols(settings.symbol_pattern))

    async def emit_to_room(self, room: Room, event: str, data: Any) -> None:
        """Send any event to a room on every server; raises as all emitters do."""
        arguments = [] if data is None else [data]
        await self._publish(encode_envelope(event, arguments, (room_name(room),), kind_of(event)))

    async def emit(
        self,
        event: str,
        data: Any = None,
        *,
        to: Rooms,
        except_rooms: Rooms = (),
        skip_sid: str | Sequence[str] = (),
        volatile: bool = False,
    ) -> None:
        """Send any event to rooms on every server: as `WebSocketServer.emit`; raises as all emitters do."""
        rooms, kind = room_names(to), VOLATILE if volatile else kind_of(event)
        excluded, skip = room_names(except_rooms), room_names(skip_sid)
        if rooms:
            arguments = arguments_of(data)
            await self._publish(encode_envelope(event, arguments, rooms, kind, except_rooms=excluded, skip=skip))

    async def _publish(self, envelope: Envelope) -> None:
        here = (os.getpid(), asyncio.get_running_loop())
        if self._home is not None and self._home != here and not self._closed:
            # Nobody carries out there what is asked here, and of one number Redis takes one event.
            raise RuntimeError("a Publisher belongs to one event loop of one process: make one for each")
        if self._guard is None and not self._closed:
            self._home = here
            self._guard = self._close_with_loop()
            await anext(self._guard)
            self._writer.start()
            if self._other is not None:
                self._other.start()
        await self._writer.publish(envelope)
        if self._other is not None:
            await publish_to_other_mode(self._other, envelope)
        self._on_emitted(envelope.event, 0)

    async def close(self) -> None:
        """Let go of the connections to Redis. Who still waits for Redis gets an error."""
        if self._guard is not None and not self._closed:
            await self._guard.aclose()
        await self._let_go()

    async def _close_with_loop(self) -> AsyncGenerator[None]:
        """Ended by `asyncio.run` when its loop ends, as all asynchronous generators are."""
        try:
            yield
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        if self._other is not None:
            await self._other.close()
        await self.redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


class SyncPublisher:
    """`Publisher` for programs without an event loop (Django, Flask, a script); it keeps one in a thread of its own.

    ```python
    with SyncPublisher() as publisher:
        publisher.emit_notification("u1", {"title": "Hello"})
    ```

    Each method waits until Redis has the event, and raises as `Publisher` does. It may be called from several threads,
    and in processes that are forked (by gunicorn, Celery, …): each gets connections and a thread of its own.
    Without `with` it closes itself when nobody has it any more, or the program ends.

    Args:
        settings: As of `Publisher`.
        both: As of `Publisher`.
    """

    def __init__(self, settings: Settings | None = None, *, both: bool | None = None) -> None:
        self._settings = settings or load_settings()
        self._both = both
        self._lock = threading.Lock()
        self._thread: _PublisherThread | None = self._begin()
        _every.add(self)

    def emit_portfolio_update(self, user_id: str | int, portfolio: EventPayload) -> None:
        """`portfolio:update` to those who watch this user's portfolio."""
        self._wait(self._publisher.emit_portfolio_update(user_id, portfolio))

    def emit_trade_executed(self, user_id: str | int, trade: EventPayload) -> None:
        """`trade:executed` to those who watch this user's trades."""
        self._wait(self._publisher.emit_trade_executed(user_id, trade))

    def emit_trade_failed(self, user_id: str | int, failure: EventPayload) -> None:
        """`trade:failed` to those who watch this user's trades."""
        self._wait(self._publisher.emit_trade_failed(user_id, failure))

    def emit_position_closed(self, user_id: str | int, position: EventPayload) -> None:
        """`position:closed` to those who watch this user's trades."""
        self._wait(self._publisher.emit_position_closed(user_id, position))

    def emit_notification(self, user_id: str | int, notification: EventPayload) -> None:
        """`notification` to all of this user's connections."""
        self._wait(self._publisher.emit_notification(user_id, notification))

    def emit_watchlist_quote(self, symbol: str, quote: EventPayload) -> None:
        """`watchlist:quote` to those who watch this symbol."""
        self._wait(self._publisher.emit_watchlist_quote(symbol, quote))

    def emit_market_status(self, status: EventPayload | str) -> None:
        """`market:status` to everybody, anonymous clients too."""
        self._wait(self._publisher.emit_market_status(status))

    def emit_to_room(self, room: Room, event: str, data: Any) -> None:
        """Send any event to a room on every server."""
        self._wait(self._publisher.emit_to_room(room, event, data))

    def emit(
        self,
        event: str,
        data: Any = None,
        *,
        to: Rooms,
        except_rooms: Rooms = (),
        skip_sid: str | Sequence[str] = (),
        volatile: bool = False,
    ) -> None:
        """Send any event to rooms on every server."""
        options: dict[str, Any] = {"except_rooms": except_rooms, "skip_sid": skip_sid, "volatile": volatile}
        self._wait(self._publisher.emit(event, data, to=to, **options))

    def close(self) -> None:
        """Let go of the connections to Redis, and end the thread. Who still waits for Redis gets an error."""
        if self._thread is not None:
            self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def _publisher(self) -> Publisher:
        return self._present().publisher

    def _present(self) -> _PublisherThread:
        with self._lock:
            if self._thread is None:
                self._thread = self._begin()
            return self._thread

    def _begin(self) -> _PublisherThread:
        thread = _PublisherThread(Publisher(self._settings, both=self._both))
        self._closing = weakref.finalize(self, thread.close)
        return thread

    def _forked(self) -> None:
        """In a new process: threads are left behind, and what they held."""
        self._lock = threading.Lock()
        if self._thread is not None and not self._thread.closed:
            self._closing.detach()
            _left_behind.append(self._thread)
            self._thread = None

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._present().do(work)


class _PublisherThread:
    """A publisher, and the thread with the event loop that it is in.

    Attributes:
        closed: Whether it takes no work any more.
    """

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.closed = False
        self._lock = threading.RLock()  # a signal's handler may close what it interrupts
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tradecast publisher", daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work there. Raises what it raises, and AdapterUnavailable when this is closed."""
        with self._lock:
            if self.closed:
                work.close()
                raise AdapterUnavailable("closed")
            found = asyncio.run_coroutine_threadsafe(work, self._loop)
        return found.result()

    def close(self) -> None:
        """End it."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        if threading.current_thread() is self._thread:  # it was forgotten, and that was noticed here
            self._loop.create_task(self.publisher.close()).add_done_callback(lambda task: self._loop.stop())
            return
        asyncio.run_coroutine_threadsafe(self.publisher.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


_every: weakref.WeakSet[SyncPublisher] = weakref.WeakSet()
# Of the process that this one was forked from: if they were let go, their end would reach into its event loops.
_left_behind: list[_PublisherThread] = []


def _forked() -> None:
    for one in list(_every):
        one._forked()


if hasattr(os, "register_at_fork"):  # there is no fork under Windows
    os.register_at_fork(after_in_child=_forked)

"""The emitters for programs without an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.event_kinds import KindName
from tradecast.events.emitters import EventPayload
from tradecast.packets.room_names import Room, Rooms
from tradecast.publishing.publisher import Publisher, read_settings

if TYPE_CHECKING:  # pydantic is only needed where settings are read
    from tradecast.config.settings import Settings

T = TypeVar("T")


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
        settings: See `Publisher`.
        both: See `Publisher`.
    """

    def __init__(self, settings: Settings | None = None, *, both: bool | None = None) -> None:
        self._settings = settings or read_settings()
        self._both = both
        self._lock = threading.Lock()
        self._thread: _PublisherThread | None = self._begin()
        _every.add(self)

    def emit_portfolio_update(
        self, user_id: str | int, portfolio: EventPayload, *, kind: KindName | None = None
    ) -> None:
        """`portfolio:update` to those who are subscribed to this user's portfolio."""
        self._wait(self._publisher.emit_portfolio_update(user_id, portfolio, kind=kind))

    def emit_trade_executed(self, user_id: str | int, trade: EventPayload, *, kind: KindName | None = None) -> None:
        """`trade:executed` to those who are subscribed to this user's trades."""
        self._wait(self._publisher.emit_trade_executed(user_id, trade, kind=kind))

    def emit_trade_failed(self, user_id: str | int, failure: EventPayload, *, kind: KindName | None = None) -> None:
        """`trade:failed` to those who are subscribed to this user's trades."""
        self._wait(self._publisher.emit_trade_failed(user_id, failure, kind=kind))

    def emit_position_closed(self, user_id: str | int, position: EventPayload, *, kind: KindName | None = None) -> None:
        """`position:closed` to those who are subscribed to this user's trades."""
        self._wait(self._publisher.emit_position_closed(user_id, position, kind=kind))

    def emit_notification(
        self, user_id: str | int, notification: EventPayload, *, kind: KindName | None = None
    ) -> None:
        """`notification` to all of this user's connections."""
        self._wait(self._publisher.emit_notification(user_id, notification, kind=kind))

    def emit_watchlist_quote(self, symbol: str, quote: EventPayload, *, kind: KindName | None = None) -> None:
        """`watchlist:quote` to those who are subscribed to this symbol."""
        self._wait(self._publisher.emit_watchlist_quote(symbol, quote, kind=kind))

    def emit_market_status(self, status: EventPayload | str, *, kind: KindName | None = None) -> None:
        """`market:status` to everybody, anonymous clients too."""
        self._wait(self._publisher.emit_market_status(status, kind=kind))

    def emit_to_room(self, room: Room, event: str, data: Any, *, kind: KindName | None = None) -> None:
        """Send any event to a room on every server."""
        self._wait(self._publisher.emit_to_room(room, event, data, kind=kind))

    def emit(
        self,
        event: str,
        data: Any = None,
        *,
        to: Rooms,
        except_rooms: Rooms = (),
        skip_sid: str | Sequence[str] = (),
        volatile: bool = False,
        kind: KindName | None = None,
    ) -> None:
        """Send any event to rooms on every server."""
        options: dict[str, Any] = {"except_rooms": except_rooms, "skip_sid": skip_sid, "volatile": volatile}
        options["kind"] = kind
        self._wait(self._publisher.emit(event, data, to=to, **options))

    def emit_batch(self, events: Sequence[Mapping[str, Any]]) -> list[Exception | None]:
        """Send several events, in their order and in as few round trips as possible; as of `Publisher`."""
        return self._wait(self._publisher.emit_batch(events))

    def close(self) -> None:
        """Close the connections to Redis, and end the thread. A method that still waits for Redis raises."""
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
        """In a forked process: the thread of the parent, and its connections, are not used."""
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
        """Close the publisher, and end the thread."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        if threading.current_thread() is self._thread:  # the garbage collector has found it unused, in its own thread
            self._loop.create_task(self.publisher.close()).add_done_callback(lambda task: self._loop.stop())
            return
        asyncio.run_coroutine_threadsafe(self.publisher.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


_every: weakref.WeakSet[SyncPublisher] = weakref.WeakSet()
# Of the process that this one was forked from: if they were freed, their end would reach into its event loops.
_left_behind: list[_PublisherThread] = []


def _note_fork() -> None:
    for one in list(_every):
        one._forked()


if hasattr(os, "register_at_fork"):  # there is no fork under Windows
    os.register_at_fork(after_in_child=_note_fork)

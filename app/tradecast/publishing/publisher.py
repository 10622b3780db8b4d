"""The emitters for other processes: a back end, a job, the demo's feed."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from tradecast.config.errors import SettingsError
from tradecast.delivery.envelope import VOLATILE, Envelope, Keep, encode_envelope
from tradecast.delivery.event_kinds import KindName, choose_kind
from tradecast.delivery.redis.options import NullBrokerObserver
from tradecast.delivery.redis.writer import publish_to_other_mode
from tradecast.delivery.writer_factory import create_writer
from tradecast.events.kinds import describe_event, key_of
from tradecast.events.symbols import Symbols
from tradecast.packets.codec import arguments_of
from tradecast.packets.room_names import Room, Rooms, room_name, room_names
from tradecast.publishing.batches import EVENTS_AT_ONCE, BatchEmitter, emit_described
from tradecast.redis_client.client import create_redis

if TYPE_CHECKING:  # pydantic is only needed where settings are read
    from tradecast.config.settings import Settings


def read_settings() -> Settings:
    """The settings of the environment, as of `load_settings`. Its module needs pydantic, and is loaded here only."""
    from tradecast.config.settings import load_settings

    return load_settings()


class EmitObserver(Protocol):
    """Receives what is emitted; the metrics of a feed do."""

    def event_emitted(self, event: str, recipients: int) -> None:
        """Redis has taken an event. How many get it is not known here: `recipients` is 0."""
        ...


class Unobserved(EmitObserver):
    """Nobody is interested."""

    def event_emitted(self, event: str, recipients: int) -> None:
        """Nothing."""


class _CallingObserver(EmitObserver):
    """Calls a function, as `Publisher(on_emitted=…)` did before there were observers."""

    def __init__(self, on_emitted: Callable[[str, int], None]) -> None:
        self._on_emitted = on_emitted

    def event_emitted(self, event: str, recipients: int) -> None:
        """Call it."""
        self._on_emitted(event, recipients)


class Publisher(BatchEmitter):
    """Emits to the clients of every server, through Redis, without being a server.

    ```python
    async with Publisher() as publisher:
        await publisher.emit_trade_executed("u1", {"symbol": "AAPL", "quantity": 5, "price": 512.4})
    ```

    Events of one publisher are delivered in the order in which its emitters were called. Many at a time (`emit_batch`,
    `asyncio.gather`) share round trips. An event that cannot be handed to Redis at once waits (PUBLISH_TIMEOUT,
    PUBLISH_BUFFER); then its emitter raises `AdapterUnavailable`, and nobody has it; or `PublishUncertain`, where the
    answer of Redis is missing. Repeat the first kind, not the second, or clients may get it twice.

    Without `async with` it closes itself when its event loop ends by `asyncio.run`. From its first event on it belongs
    to that loop and process: in another one its emitters raise RuntimeError. It logs nothing until the program
    configures logging (the standard library's loggers `tradecast.…`, or structlog).

    Args:
        settings: REDIS_URL and what belongs to it; None: from the environment. RECOVERY_WINDOW, HISTORY_EVENTS,
            PING_INTERVAL and PING_TIMEOUT should be those of the servers: they say how long events are kept.
        observer: Gets each event that Redis has taken.
        both: Whether servers of both modes get it, whichever mode the fleet is in: each event is then published
            twice, one after the other (first where ADAPTER_MODE says; if only the second fails, that is a
            `PublishUncertain`). None: where there is a REDIS_CLUSTER_URL. False: those of ADAPTER_MODE alone.
        on_emitted: Deprecated; a function in place of an observer.

    Raises:
        SettingsError: There is no REDIS_URL, or none for both modes; or ADAPTER_MODE is `single`.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        observer: EmitObserver | None = None,
        *,
        both: bool | None = None,
        on_emitted: Callable[[str, int], None] | None = None,
    ) -> None:
        if on_emitted is not None:
            warnings.warn(
                "Publisher(on_emitted=…) goes: pass an observer that has event_emitted",
                DeprecationWarning,
                stacklevel=2,
            )
            observer = _CallingObserver(on_emitted)
        settings = settings or read_settings()
        if settings.redis_url is None:
            raise SettingsError("REDIS_URL: is needed to publish to servers")
        if settings.mode == "single":
            raise SettingsError("ADAPTER_MODE: servers in mode single receive no events of others")
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
        self._observer = observer if observer is not None else Unobserved()
        super().__init__(Symbols(settings.symbol_pattern))

    async def emit_to_room(self, room: Room, event: str, data: Any, *, kind: KindName | None = None) -> None:
        """Send any event to a room on every server; raises as all emitters do."""
        arguments = [] if data is None else [data]
        await self._publish(_encode_event(event, arguments, (room_name(room),), kind))

    async def emit(
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
        """Send any event to rooms on every server: as `WebSocketServer.emit`; raises as all emitters do."""
        rooms = room_names(to)
        excluded, skip = room_names(except_rooms), room_names(skip_sid)
        if rooms:
            arguments = arguments_of(data)
            envelope = _encode_event(event, arguments, rooms, kind, volatile=volatile, except_rooms=excluded, skip=skip)
            await self._publish(envelope)

    async def emit_batch(self, events: Sequence[Mapping[str, Any]]) -> list[Exception | None]:
        """Send several events, in their order and in as few round trips as possible: one for PUBLISH_BATCH events.

        Args:
            events: Each as for `POST /api/emit`, say `{"event": "notification", "userId": …, "notification": …}`; or
                any event to rooms: `{"event": …, "to": …, "data": …}`. Each may have a `kind`.

        Returns:
            For each event, None; or the error that its emitter raises, or ValueError where it has not that form. Others
            are sent all the same.

        Raises:
            TypeError: `events` is no list of events, but one, or a generator.
        """
        given: object = events
        if not isinstance(given, Sequence) or isinstance(given, str | bytes):
            raise TypeError(f"a batch is a list of events, not {type(given).__name__}")
        results: list[Exception | None] = []
        for start in range(0, len(events), EVENTS_AT_ONCE):
            some = [emit_described(self, event) for event in events[start : start + EVENTS_AT_ONCE]]
            for found in await asyncio.gather(*some, return_exceptions=True):
                if found is not None and not isinstance(found, Exception):
                    raise found
                results.append(found)
        return results

    async def _publish(self, envelope: Envelope) -> None:
        here = (os.getpid(), asyncio.get_running_loop())
        if self._home is not None and self._home != here and not self._closed:
            # The queue of another loop does not run here; and of two events with one number Redis takes one.
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
        self._observer.event_emitted(envelope.event, 0)

    async def close(self) -> None:
        """Close the connections to Redis. An emitter that still waits for Redis raises."""
        if self._guard is not None and not self._closed:
            await self._guard.aclose()
        await self._release()

    async def _close_with_loop(self) -> AsyncGenerator[None]:
        """Ended by `asyncio.run` when its loop ends, as all asynchronous generators are."""
        try:
            yield
        finally:
            await self._release()

    async def _release(self) -> None:
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


def _encode_event(
    event: str,
    arguments: Sequence[Any],
    rooms: Sequence[str],
    kind: KindName | None,
    *,
    volatile: bool = False,
    except_rooms: Sequence[str] = (),
    skip: Sequence[str] = (),
) -> Envelope:
    declared = describe_event(event)
    return encode_envelope(
        event,
        arguments,
        rooms,
        VOLATILE if volatile and kind is None else choose_kind(event, declared, kind) or declared.kind,
        except_rooms=except_rooms,
        skip=skip,
        keep=Keep(key_of(event, arguments, rooms), declared.recent),
    )

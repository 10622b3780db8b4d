"""What the protocol tests ask of a client, whichever library it is made of."""

# ruff: noqa: ASYNC109 - these deadlines belong to what is awaited, and the failure tells what did come

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

WAIT = 20.0
"""Seconds that a client waits for what must come; generous, since a wrong server fails at once in most tests."""

Args = list[Any]


class Refused(Exception):
    """The server refused the connection.

    Attributes:
        message: `err.message` of connect_error.
        data: `err.data` of connect_error, None if there was none.
    """

    def __init__(self, message: str, data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data

    @property
    def code(self) -> Any:
        """`data.code`, None if there is none."""
        return self.data.get("code") if isinstance(self.data, dict) else None


class AckTimeout(Exception):
    """No acknowledgement came in time."""


class Inbox:
    """What came, in order. Each item is taken once; what came before it was asked for is found."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[tuple[str, Any]] = []
        self._waiting: list[tuple[str, Any]] = []
        self._wakers: set[asyncio.Future[None]] = set()

    def put(self, kind: str, value: Any) -> None:
        self.seen.append((kind, value))
        self._waiting.append((kind, value))
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)

    async def take(self, kind: str, predicate: Callable[[Any], bool] | None = None, timeout: float = WAIT) -> Any:
        """The oldest item of this kind that nobody took and that `predicate` accepts.

        Raises:
            AssertionError: None came within `timeout` seconds.
        """
        waker: asyncio.Future[None] | None = None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for index, (found, value) in enumerate(self._waiting):
                        if found == kind and (predicate is None or predicate(value)):
                            del self._waiting[index]
                            return value
                    waker = asyncio.get_running_loop().create_future()
                    self._wakers.add(waker)
                    await waker
                    self._wakers.discard(waker)
        except TimeoutError:
            kinds = [found for found, _ in self.seen[-30:]]
            raise AssertionError(f"{self.name}: no {kind!r} in {timeout} s; the last that came: {kinds}") from None
        finally:
            if waker is not None:
                self._wakers.discard(waker)

    def of(self, kind: str) -> list[Any]:
        """All of this kind so far, taken or not."""
        return [value for found, value in self.seen if found == kind]


class Client(Protocol):
    """One client. Events are lists of arguments."""

    @property
    def transport(self) -> str | None:
        """The transport in use: polling or websocket."""
        ...

    recovers: bool
    """Whether it wants to go on where its connection was lost."""
    recovered: bool
    """Whether the last connect did."""

    @property
    def connected(self) -> bool: ...
    @property
    def final(self) -> bool:
        """Whether the client has given up: it will not reconnect by itself."""
        ...

    async def emit(self, event: str, *args: Any) -> None: ...
    async def call(self, event: str, *args: Any, timeout: float = WAIT) -> Args:
        """Emit with an acknowledgement; its arguments. Raises `AckTimeout`."""
        ...

    async def raw(self, *parts: str | bytes, count: int = 1) -> None:
        """Send an encoded Socket.IO packet, its attachments after it, as they are; `count` times."""
        ...

    async def wait_for(
        self,
        event: str,
        predicate: Callable[[Args], bool] | None = None,
        timeout: float = WAIT,
    ) -> Args: ...
    def events(self, name: str | None = None) -> list[Args]:
        """Arguments of all events of this name that came, taken or not; of all names for None."""
        ...

    def event_names(self) -> list[str]:
        """Names of all events that came, in order, taken or not."""
        ...

    async def wait_connect(self, timeout: float = WAIT) -> None:
        """Until the next connect that was not waited for. Raises `Refused` on a final refusal."""
        ...

    async def wait_disconnect(self, timeout: float = WAIT) -> str:
        """Until the next disconnect that was not waited for; its reason."""
        ...

    async def wait_upgrade(self, timeout: float = WAIT) -> None: ...
    async def drop(self) -> None:
        """Lose the connection without telling the server."""
        ...

    async def disconnect(self) -> None: ...


class Clients(Protocol):
    """Makes clients, and closes all it made."""

    async def open(
        self,
        url: str,
        auth: Mapping[str, Any] | None = None,
        transports: list[str] | None = None,
        **options: Any,
    ) -> Client:
        """Start connecting and return at once. Options have socket.io-client's names, times in milliseconds."""
        ...

    async def connect(
        self,
        url: str,
        auth: Mapping[str, Any] | None = None,
        transports: list[str] | None = None,
        **options: Any,
    ) -> Client:
        """Connect. Raises `Refused`."""
        ...

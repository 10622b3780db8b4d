"""What python-socketio's server calls of python-engineio's: any of its applications can run on this engine."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from tradecast.engine.connection import Connection
from tradecast.engine.ids import make_id
from tradecast.engine.message import Message
from tradecast.engine.transports.base import TransportName


class PythonEngineIoApi(ABC):
    """python-engineio's methods over an engine's own.

    Attributes:
        sockets: The connections by their sids.
    """

    async_mode = "asgi"
    sockets: Mapping[str, Connection]

    def __init__(self) -> None:
        self._sessions: dict[str, dict[str, Any]] = {}

    @abstractmethod
    def deliver(self, sids: Iterable[str], message: Message) -> int:
        """Send one message to many clients; how many there were."""

    @abstractmethod
    def close_transport(self, sid: str, code: int | None = None) -> None:
        """Close a client's transport."""

    @abstractmethod
    async def close_all(self, grace: float) -> None:
        """Close all transports."""

    @abstractmethod
    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run in a task."""

    async def send(self, sid: str, data: str | bytes) -> None:
        """Send a message to one client; nothing happens if it is gone."""
        self.deliver((sid,), Message([data]))

    async def send_packet(self, sid: str, pkt: Any) -> None:
        """Send a message that is one of python-engineio's packets."""
        self.deliver((sid,), Message([pkt.data]))

    async def disconnect(self, sid: str | None = None) -> None:
        """Close the transport of one client, or of all. They reconnect."""
        if sid is not None:
            self.close_transport(sid)
        else:
            await self.close_all(0)

    def transport(self, sid: str) -> TransportName:
        """The transport that a client uses now. Raises KeyError if it is gone."""
        return self.sockets[sid].transport_name

    async def get_session(self, sid: str) -> dict[str, Any]:
        """What the application keeps with a connection. Raises KeyError if it is gone."""
        self.sockets[sid]
        return self._sessions.setdefault(sid, {})

    async def save_session(self, sid: str, session: dict[str, Any]) -> None:
        """Keep something with a connection. Raises KeyError if it is gone."""
        self.sockets[sid]
        self._sessions[sid] = session

    def generate_id(self) -> str:
        """A new id that nobody can guess: 120 random bits in 20 characters."""
        return make_id()

    def attach(self, app: Any, socketio_path: str = "socket.io") -> None:  # noqa: B027 nothing is to be done
        """Nothing: an ASGI application is put around the server, not the other way round."""

    def create_event(self, *arguments: Any, **options: Any) -> asyncio.Event:
        """An event."""
        return asyncio.Event()

    def start_background_task(
        self, target: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, **options: Any
    ) -> asyncio.Task[Any]:
        """Run a coroutine function in a task."""
        return self.spawn(target(*arguments, **options))

    async def sleep(self, seconds: float = 0) -> None:
        """Let others run."""
        await asyncio.sleep(seconds)

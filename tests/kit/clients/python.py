"""python-socketio's own client with the interface of `kit.clients.interface.Client`."""

# ruff: noqa: ASYNC109 - these deadlines belong to what is awaited, and the failure tells what did come

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any

import pytest
import socketio
import socketio.exceptions

from kit.clients.interface import WAIT, AckTimeout, Args, Inbox, Refused

_SECONDS = {"reconnectionDelay": "reconnection_delay", "reconnectionDelayMax": "reconnection_delay_max"}
_SAME = {
    "reconnection": "reconnection",
    "reconnectionAttempts": "reconnection_attempts",
    "randomizationFactor": "randomization_factor",
}


class PythonClient:
    """One client of python-socketio (`kit.clients.interface.Client`)."""

    def __init__(self, **options: Any) -> None:
        self.recovers = self.recovered = False
        self.sio = socketio.AsyncClient(**options)
        self._inbox = Inbox("python client")
        self._events = Inbox("python client")
        self._opening: asyncio.Task[None] | None = None
        self._final = False
        self.sio.on("connect", self._on_connect)
        self.sio.on("connect_error", self._on_connect_error)
        self.sio.on("disconnect", self._on_disconnect)
        self.sio.on("__disconnect_final", self._on_final)
        self.sio.on("*", self._on_event)

    @property
    def transport(self) -> str | None:
        name = self.sio.eio.current_transport
        return None if name is None else str(name)

    @property
    def connected(self) -> bool:
        return "/" in self.sio.namespaces

    @property
    def final(self) -> bool:
        return self._final

    async def emit(self, event: str, *args: Any) -> None:
        await self.sio.emit(event, tuple(args))

    async def call(self, event: str, *args: Any, timeout: float = WAIT) -> Args:
        # `AsyncClient.call` folds the arguments of the answer; the callback gets them as they are
        answer: asyncio.Future[Args] = asyncio.get_running_loop().create_future()

        def on_answer(*values: Any) -> None:
            if not answer.done():
                answer.set_result(list(values))

        await self.sio.emit(event, tuple(args), callback=on_answer)
        try:
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError:
            raise AckTimeout(f"{event}: no acknowledgement in {timeout} s") from None

    async def raw(self, *parts: str | bytes, count: int = 1) -> None:
        for _ in range(count):
            for part in parts:
                await self.sio.eio.send(part)

    async def wait_for(
        self, event: str, predicate: Callable[[Args], bool] | None = None, timeout: float = WAIT
    ) -> Args:
        return list(await self._events.take(event, predicate, timeout))

    def events(self, name: str | None = None) -> list[Args]:
        return [args for event, args in self._events.seen if name is None or event == name]

    def event_names(self) -> list[str]:
        return [event for event, _ in self._events.seen]

    async def wait_connect(self, timeout: float = WAIT) -> None:
        kind, value = await self._inbox.take("outcome", lambda m: m[0] != "retried", timeout)
        if kind == "refused":
            raise value

    async def wait_disconnect(self, timeout: float = WAIT) -> str:
        return str(await self._inbox.take("disconnect", None, timeout))

    async def wait_upgrade(self, timeout: float = WAIT) -> None:
        # this client has upgraded by the time it says that it is connected
        assert self.transport == "websocket"

    async def drop(self) -> None:
        eio = self.sio.eio
        if eio.ws is not None:
            eio.ws._response.connection.transport.abort()
        else:
            await eio.http.close()

    async def disconnect(self) -> None:
        await self.sio.disconnect()

    async def close(self) -> None:
        """End whatever this client still does."""
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._opening
        self.sio.reconnection = False
        if not self.connected:
            await self.sio.shutdown()
        eio = self.sio.eio
        # abort: over polling, an orderly end waits for the poll that is under way, up to a ping interval
        tasks = [task for task in (eio.read_loop_task, eio.write_loop_task) if task is not None]
        await eio.disconnect(abort=True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if eio.http is not None and not eio.http.closed:  # a task that was cancelled has left it open
            await eio.http.close()

    def start(
        self, url: str, auth: Mapping[str, Any] | None, transports: list[str] | None, headers: Mapping[str, str]
    ) -> None:
        self._opening = asyncio.ensure_future(self._open(url, auth, transports, headers))

    async def _open(
        self, url: str, auth: Mapping[str, Any] | None, transports: list[str] | None, headers: Mapping[str, str]
    ) -> None:
        # wait=False: with True the client takes a slow answer for a failure and hangs up
        with contextlib.suppress(socketio.exceptions.ConnectionError):
            await self.sio.connect(
                url,
                auth=None if auth is None else dict(auth),
                transports=transports,
                headers=dict(headers),
                namespaces=["/"],
                wait=False,
                retry=self.sio.reconnection,
            )

    async def _on_connect(self) -> None:
        self._final = False
        self._inbox.put("outcome", ("connect", None))

    async def _on_connect_error(self, data: Any = None, *rest: Any) -> None:
        # a refused namespace leaves the engine connected; else the engine could not connect, and `data` is an HTTP body
        if self.sio.eio.state == "connected" and isinstance(data, dict):
            self._final = True
            self._inbox.put("outcome", ("refused", Refused(data["message"], data.get("data"))))
        else:
            self._inbox.put("outcome", ("retried", data))

    async def _on_disconnect(self, reason: str) -> None:
        self._inbox.put("disconnect", reason)

    async def _on_final(self) -> None:
        self._final = True

    async def _on_event(self, event: str, *args: Any) -> dict[str, str]:
        self._events.put(event, list(args))
        return {"received": event}


class PythonClients:
    """python-socketio clients for one test; closes them all at the end."""

    def __init__(self) -> None:
        self._made: list[PythonClient] = []

    async def open(
        self,
        url: str,
        auth: Mapping[str, Any] | None = None,
        transports: list[str] | None = None,
        **options: Any,
    ) -> PythonClient:
        """Start connecting and return at once. Options have socket.io-client's names and units."""
        chosen = {_SAME[name]: value for name, value in options.items() if name in _SAME}
        chosen |= {_SECONDS[name]: value / 1000 for name, value in options.items() if name in _SECONDS}
        client = PythonClient(**chosen)
        self._made.append(client)
        client.start(url, auth, transports, options.get("extraHeaders", {}))
        return client

    async def connect(
        self,
        url: str,
        auth: Mapping[str, Any] | None = None,
        transports: list[str] | None = None,
        **options: Any,
    ) -> PythonClient:
        """Connect. Raises `Refused`."""
        client = await self.open(url, auth, transports, **options)
        await client.wait_connect()
        return client

    async def close(self) -> None:
        for client in self._made:
            await client.close()

    async def __aenter__(self) -> PythonClients:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


@pytest.fixture
async def python_clients() -> AsyncIterator[PythonClients]:
    """Makes clients of python-socketio, and closes them after the test."""
    async with PythonClients() as clients:
        yield clients

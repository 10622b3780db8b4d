"""Stock socket.io clients under Node.js, driven from Python.

`tests/protocol/stock/client.mjs` holds the clients; this is its remote control. One Node process serves many tests:
`NodeProcess` belongs to no event loop, `StockClients` to one test's.
"""

# ruff: noqa: ASYNC109 - these deadlines belong to what is awaited, and the failure tells what did come

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import pytest

from kit.clients import node_packages
from kit.clients.interface import WAIT, AckTimeout, Args, Inbox, Refused
from kit.clients.node_packages import NodeFailed, NodeMissing

STOCK = Path(__file__).resolve().parents[2] / "protocol" / "stock"


def install() -> None:
    """Have the stock client's packages there. Raises as `node_packages.install`."""
    node_packages.install(STOCK)


class NodeProcess:
    """The Node process. Its output is read by a thread, so that it outlives the event loops of single tests."""

    def __init__(self) -> None:
        install()
        self._listeners: dict[str, Callable[[dict[str, Any]], None]] = {}
        self._answers: dict[int, Callable[[dict[str, Any]], None]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._errors: list[str] = []
        self._process = subprocess.Popen(
            ["node", "client.mjs"],
            cwd=STOCK,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._threads = [
            threading.Thread(target=self._read, name="node-stdout", daemon=True),
            threading.Thread(target=self._read_errors, name="node-stderr", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def new_name(self) -> str:
        """A client name that was never used in this process."""
        return f"c{next(self._numbers)}"

    def listen(self, client: str, listener: Callable[[dict[str, Any]], None] | None) -> None:
        """Hand the client's notifications to `listener`, called from the reading thread; None ends that."""
        with self._lock:
            if listener is None:
                self._listeners.pop(client, None)
            else:
                self._listeners[client] = listener

    async def ask(self, op: str, **fields: Any) -> Any:
        """Run one operation of client.mjs; its value.

        Raises:
            NodeFailed: It threw, or the process is gone.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[dict[str, Any]] = loop.create_future()

        def settle(message: dict[str, Any]) -> None:
            if not future.done():
                future.set_result(message)

        number = next(self._numbers)
        with self._lock:
            self._answers[number] = lambda message: _in_loop(loop, settle, message)
        try:
            self._write({"id": number, "op": op, **fields})
            message = await future
        finally:
            with self._lock:
                self._answers.pop(number, None)
        if not message["ok"]:
            raise NodeFailed(message["error"])
        return message["value"]

    def close(self) -> None:
        """End the process; it leaves when its input ends."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(10)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _write(self, message: dict[str, Any]) -> None:
        line = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        try:
            assert self._process.stdin is not None
            with self._lock:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise NodeFailed(self._why_gone()) from error

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            with self._lock:
                listener = (
                    self._answers.get(message["id"]) if "id" in message else self._listeners.get(message["client"])
                )
            if listener is not None:
                listener(message)
        with self._lock:
            unanswered = list(self._answers.values())
        for answer in unanswered:
            answer({"ok": False, "error": self._why_gone()})

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors.append(line)

    def _why_gone(self) -> str:
        return "the Node process is gone: " + "".join(self._errors)[-2000:]


def _in_loop(
    loop: asyncio.AbstractEventLoop, function: Callable[[dict[str, Any]], None], message: dict[str, Any]
) -> None:
    # a test may end, and its loop close, while something is still on its way
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, message)


def to_wire(value: Any) -> Any:
    """`value` with bytes written as client.mjs expects them."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: to_wire(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_wire(item) for item in value]
    return value


def from_wire(value: Any) -> Any:
    """The reverse of `to_wire`."""
    if isinstance(value, dict):
        if set(value) == {"$bytes"}:
            return base64.b64decode(value["$bytes"])
        return {key: from_wire(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_wire(item) for item in value]
    return value


class Observer(Protocol):
    """Wants to know what comes to a client."""

    def on_message(self, message: Mapping[str, Any], /) -> None:
        """What client.mjs says of a connection, or an event with its arguments."""


class StockClient:
    """One stock client (`kit.clients.interface.Client`).

    Attributes:
        observer: Told all that comes, in order: connections and events.
    """

    def __init__(self, node: NodeProcess, name: str, observer: Observer | None = None) -> None:
        self.name = name
        self.observer = observer
        self.sid: str | None = None
        self.recovers = True
        self.recovered = False
        self.reconnect_attempts = 0
        self._node = node
        self._inbox = Inbox(f"stock client {name}")
        self._events = Inbox(f"stock client {name}")
        self._transport: str | None = None
        self._connected = False
        self._final = False
        loop = asyncio.get_running_loop()
        node.listen(name, lambda message: _in_loop(loop, self._on_message, message))

    @property
    def transport(self) -> str | None:
        return self._transport

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def final(self) -> bool:
        return self._final

    async def emit(self, event: str, *args: Any) -> None:
        await self._ask("emit", event=event, args=to_wire(args))

    async def call(self, event: str, *args: Any, timeout: float = WAIT) -> Args:
        try:
            answer = await self._ask("emit", event=event, args=to_wire(args), ack=True, timeout=timeout * 1000)
        except NodeFailed as error:
            if "timed out" in str(error):
                raise AckTimeout(f"{event}: no acknowledgement in {timeout} s") from None
            raise
        return list(from_wire(answer))

    async def answer_with(self, *args: Any, mute: bool = False) -> None:
        """Acknowledge events with these arguments from now on, or not at all."""
        await self._ask("answer", args=None if mute else to_wire(args))

    async def raw(self, *parts: str | bytes, count: int = 1) -> None:
        await self._ask("raw", parts=to_wire(parts), count=count)

    async def frame(self, data: str | bytes) -> None:
        """Send a WebSocket frame as it is, below Engine.IO."""
        await self._ask("frame", data=to_wire(data))

    async def wait_for(
        self, event: str, predicate: Callable[[Args], bool] | None = None, timeout: float = WAIT
    ) -> Args:
        return list(await self._events.take(event, predicate, timeout))

    def events(self, name: str | None = None) -> list[Args]:
        return [args for event, args in self._events.seen if name is None or event == name]

    def event_names(self) -> list[str]:
        return [event for event, _ in self._events.seen]

    async def wait_connect(self, timeout: float = WAIT) -> None:
        found = await self._inbox.take("outcome", lambda m: m["type"] == "connect" or m["final"], timeout)
        if found["type"] == "connect_error":
            raise Refused(found["message"], from_wire(found["data"]))

    async def wait_connect_error(self, timeout: float = WAIT) -> Refused:
        """Until the next failure to connect that was not waited for, final or not."""
        found = await self._inbox.take("outcome", lambda m: m["type"] == "connect_error", timeout)
        return Refused(found["message"], from_wire(found["data"]))

    async def wait_disconnect(self, timeout: float = WAIT) -> str:
        return str((await self._inbox.take("disconnect", None, timeout))["reason"])

    async def wait_upgrade(self, timeout: float = WAIT) -> None:
        await self._inbox.take("upgrade", None, timeout)

    async def wait_reconnect_attempt(self, timeout: float = WAIT) -> int:
        """Until the next attempt to reconnect that was not waited for; its number, from 1."""
        return int((await self._inbox.take("reconnect_attempt", None, timeout))["attempt"])

    async def drop(self) -> None:
        await self._ask("drop")

    async def disconnect(self) -> None:
        await self._ask("disconnect")

    async def reconnect(self, auth: Mapping[str, Any] | None = None) -> None:
        """Connect again after a disconnect, with other `auth` where given. Waits for the connection."""
        await self._ask("reconnect", **({} if auth is None else {"auth": to_wire(dict(auth))}))
        await self.wait_connect()

    async def follow_quotes(self, symbols: list[str], **options: Any) -> dict[str, Any]:
        """Subscribe with `Quotes` of client/quotes.mjs; its answer."""
        return dict(await self._ask("quotes", symbols=symbols, options=options))

    async def unfollow_quotes(self, symbols: list[str]) -> dict[str, Any]:
        """Unsubscribe with it; its answer."""
        return dict(await self._ask("quotesUnsubscribe", symbols=symbols))

    async def quotes(self, symbols: list[str]) -> dict[str, Any]:
        """What it knows: newest, handedOut, stale, answers, wanted, staleNow."""
        return dict(await self._ask("quotesState", symbols=symbols))

    async def receive_quote(self, event: str, payload: Any) -> None:
        """Hand it an event as if the server had sent it."""
        await self._ask("quotesReceive", event=event, payload=payload)

    async def state(self) -> dict[str, Any]:
        """connected, active, sid, recovered and transport, as the client has them now."""
        return dict(await self._ask("state"))

    async def close(self) -> None:
        self._node.listen(self.name, None)
        await self._ask("close")

    async def _ask(self, op: str, **fields: Any) -> Any:
        return await self._node.ask(op, client=self.name, **fields)

    def _on_message(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if self.observer is not None:
            self.observer.on_message(message)
        if kind == "event":
            self._events.put(message["event"], from_wire(message["args"]))
            return
        if kind in ("connect", "disconnect"):
            self._connected = kind == "connect"
        if kind in ("connect_error", "disconnect"):
            self._final = message["final"]
        if kind in ("connect", "open", "upgrade"):
            self._transport = message["transport"]
        if kind == "connect":
            self._final = False
            self.sid = message["sid"]
            self.recovered = message["recovered"]
        if kind == "reconnect_attempt":
            self.reconnect_attempts += 1
        self._inbox.put("outcome" if kind in ("connect", "connect_error") else kind, message)


class StockClients:
    """Stock clients for one test; closes them all at the end.

    Args:
        node: The process that holds them; without one, an own is started and ended.
        defaults: Options of every client, where the call gives none of that name.
    """

    def __init__(self, node: NodeProcess | None = None, **defaults: Any) -> None:
        self._own = node is None
        self._node = node or NodeProcess()
        self._defaults = defaults
        self._made: list[StockClient] = []

    async def open(
        self,
        url: str,
        auth: Mapping[str, Any] | None = None,
        transports: list[str] | None = None,
        *,
        observer: Observer | None = None,
        **options: Any,
    ) -> StockClient:
        """Start connecting and return at once. Options are socket.io-client's, by its names."""
        client = StockClient(self._node, self._node.new_name(), observer)
        self._made.append(client)
        chosen = {**self._defaults, **options}
        if auth is not None:
            chosen["auth"] = dict(auth)
        if transports is not None:
            chosen["transports"] = transports
        await self._node.ask("connect", client=client.name, url=url, options=to_wire(chosen))
        return client

    async def connect(
        self,
        url: str,
        auth: Mapping[str, Any] | None = None,
        transports: list[str] | None = None,
        **options: Any,
    ) -> StockClient:
        """Connect. Raises `Refused` when the server refuses for good."""
        client = await self.open(url, auth, transports, **options)
        await client.wait_connect()
        return client

    async def close(self) -> None:
        for client in self._made:
            if self._node.running:
                await client.close()
        if self._own:
            self._node.close()

    async def __aenter__(self) -> StockClients:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


@pytest.fixture(scope="session")
def stock_node() -> Iterator[NodeProcess]:
    """One Node process for all tests."""
    try:
        node = NodeProcess()
    except NodeMissing as missing:
        pytest.skip(str(missing))
    yield node
    node.close()


@pytest.fixture
async def stock_clients(stock_node: NodeProcess) -> AsyncIterator[StockClients]:
    """Makes stock clients, and closes them after the test."""
    async with StockClients(stock_node) as clients:
        yield clients

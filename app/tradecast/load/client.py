"""One authenticated WebSocket client, light enough that thousands fit into a process: one task, no queue of its own."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from tradecast.causes import SERVER, Place, explain_error
from tradecast.load import packets
from tradecast.load.backoff import Backoff
from tradecast.load.numbering import SequenceCheck
from tradecast.load.streams import LATEST_WINS, Stream, stream_of
from tradecast.load.tally import Tally

CONNECT_TIMEOUT = 20.0
"""Seconds for the connection and the server's CONNECT, as socket.io-client's `timeout`."""
MAX_MESSAGE = 2**21


@dataclass(frozen=True, slots=True)
class Credential:
    """A session to connect with. The id is a secret: it is not shown."""

    session_id: str
    user_id: str

    def __repr__(self) -> str:
        return f"Credential(user_id={self.user_id!r})"


@dataclass(frozen=True, slots=True)
class Subscription:
    """An event that subscribes, and the streams that it brings."""

    event: str
    payload: dict[str, Any]
    streams: tuple[Stream, ...]


class LoadClient:
    """Connects, subscribes, answers heartbeats and checks what it receives.

    Args:
        url: WebSocket URL (`packets.socket_url`).
        credential: Whose session it uses.
        subscriptions: What it asks for after each connection that was not recovered.
        implied: Streams that come without asking (notifications).
        run: Events of other runs are ignored.
        tally: Where it counts.
        backoff: With it, the client reconnects as standard clients do; without it, a connection that ends is the end.
        seed: Of the back-off's randomness.
        headers: Sent with the handshake besides WebSocket's own.
        tls: How the server's certificate is checked; None: as usual.

    Attributes:
        checks: What came, by stream; streams that the server refused are taken out.
        settled: Set once the client is subscribed, or has failed finally.
        ready: Whether all subscriptions are answered on the present connection.
    """

    __slots__ = (
        "_ack_id",
        "_asked",
        "_backoff",
        "_closing",
        "_credential",
        "_gave_up",
        "_headers",
        "_last_heard",
        "_offset",
        "_patience",
        "_pid",
        "_random",
        "_run",
        "_socket",
        "_started",
        "_subscriptions",
        "_tally",
        "_tls",
        "_url",
        "_was_connected",
        "checks",
        "final",
        "in_namespace",
        "ready",
        "recovered",
        "settled",
    )

    def __init__(
        self,
        url: str,
        credential: Credential,
        subscriptions: Sequence[Subscription],
        implied: Sequence[Stream],
        run: str,
        tally: Tally,
        *,
        backoff: Backoff | None = None,
        seed: int = 0,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url
        self._credential = credential
        self._subscriptions = subscriptions
        self._run = run
        self._tally = tally
        self._backoff = backoff
        self._random = random.Random(seed)  # noqa: S311 spreads reconnections, no secret
        self._headers = headers
        self._tls = tls
        self._socket: ClientConnection | None = None
        self._asked: dict[int, Subscription] = {}
        self._ack_id = 0
        self._closing = False
        self._gave_up = False
        self._started = 0.0
        self._last_heard = 0.0
        self._patience = 0.0
        self._pid: str | None = None
        self._offset: str | None = None
        self._was_connected = False
        streams = [stream for subscription in subscriptions for stream in subscription.streams]
        self.checks: dict[Stream, SequenceCheck] = {stream: SequenceCheck() for stream in (*streams, *implied)}
        self.settled = asyncio.Event()
        self.ready = False
        self.recovered = False
        self.in_namespace = False
        self.final = False

    async def run(self) -> None:
        """Stay connected until `close`, a final refusal, or the connection's end where there is no back-off."""
        attempt = 0
        try:
            while True:
                if await self._connection():
                    attempt = 0
                if self._closing or self.final or self._backoff is None:
                    return
                await asyncio.sleep(self._backoff.wait(attempt, self._random))
                attempt += 1
        finally:
            self.settled.set()

    async def close(self) -> None:
        """Disconnect, and do not reconnect."""
        self._closing = True
        if self._socket is not None:
            await self._socket.close()

    def drop(self) -> None:
        """Lose the connection without a word to the server."""
        if self._socket is not None:
            self._socket.transport.abort()

    def check_heartbeat(self, now: float) -> None:
        """Drop the connection if the server has been silent for pingInterval + pingTimeout, as standard clients do.

        Args:
            now: `time.monotonic()`.
        """
        if self.in_namespace and now - self._last_heard > self._patience:
            self._tally.errors["ping timeout"] += 1
            self.drop()

    async def _connection(self) -> bool:
        """One connection, from opening to its end; whether it got into the namespace."""
        self._started = time.perf_counter()
        joined = lost = False
        try:
            socket = await connect(
                self._url,
                compression=None,
                proxy=None,
                user_agent_header=None,
                additional_headers=self._headers,
                ssl=self._tls,
                ping_interval=None,
                open_timeout=CONNECT_TIMEOUT,
                close_timeout=5,
                max_size=MAX_MESSAGE,
                # frames are handled as they come; a deep queue spares pausing and resuming the transport
                max_queue=(256, 64),
            )
        except InvalidStatus as error:
            self._tally.refused[f"HTTP {error.response.status_code}"] += 1
            return False
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
            self._tally.errors[f"connect: {explain_error(error, Place(SERVER)).code}"] += 1
            return False
        self._socket = socket
        self._gave_up = False
        timer = asyncio.get_running_loop().call_later(CONNECT_TIMEOUT, self._give_up)
        try:
            if self._closing:
                return False
            async for frame in socket:
                if isinstance(frame, bytes):
                    continue
                if frame == "2":
                    self._last_heard = time.monotonic()
                    await socket.send(packets.PONG)
                elif not await self._take(socket, frame):
                    break
                elif self.in_namespace and not joined:
                    joined = True
                    timer.cancel()
            else:
                lost = True
        except ConnectionClosed:
            lost = True
        except packets.PacketError as error:
            self._tally.errors[f"protocol: {error}"] += 1
        finally:
            if lost and not joined and not self._closing and not self._gave_up:
                # As a server does whose session store is away: clients reconnect.
                self._tally.errors["connect: closed without an answer"] += 1
            timer.cancel()
            self._socket = None
            self._left(socket)
            await socket.close()
        return joined

    def _give_up(self) -> None:
        self._gave_up = True
        self._tally.errors["connect: no answer"] += 1
        self.drop()

    def _left(self, socket: ClientConnection) -> None:
        self.ready = False
        self._asked.clear()
        if self.in_namespace:
            self.in_namespace = False
            self._tally.connected -= 1
            if not self._closing:
                code = socket.close_code
                self._tally.disconnects["by the server" if self.final else f"WebSocket {code or 1006}"] += 1

    async def _take(self, socket: ClientConnection, frame: str) -> bool:
        """Handle a frame; False when the connection has ended."""
        packet = packets.decode_packet(frame)
        if packet.namespace != "/":
            return True
        match packet.kind:
            case "event":
                self._on_event(packet.data)
            case "ack":
                self._on_ack(packet.id, packet.data)
            case "open":
                await self._on_open(socket, packet.data)
            case "connect":
                await self._on_connect(socket, packet.data)
            case "connect_error":
                self._on_connect_error(packet.data)
                return False
            case "disconnect":
                self.final = True
                return False
            case "close":
                return False
        return True

    async def _on_open(self, socket: ClientConnection, handshake: Any) -> None:
        try:
            self._patience = (handshake["pingInterval"] + handshake["pingTimeout"]) / 1000
        except (TypeError, KeyError):
            raise packets.PacketError("the handshake lacks pingInterval or pingTimeout") from None
        auth: dict[str, Any] = {
            "sessionID": self._credential.session_id,
            "userId": self._credential.user_id,
        }
        if self._pid is not None:
            auth = {"pid": self._pid, "offset": self._offset, **auth}
        await socket.send(packets.encode_connect(auth))

    async def _on_connect(self, socket: ClientConnection, data: Any) -> None:
        pid = data.get("pid") if isinstance(data, dict) else None
        self.recovered = pid is not None and pid == self._pid
        self._pid = pid
        self.in_namespace = True
        self._last_heard = time.monotonic()
        self._tally.connected += 1
        self._tally.connect_ms.add((time.perf_counter() - self._started) * 1000)
        if self._was_connected:
            self._tally.reconnects += 1
        else:
            self._was_connected = True
            self._tally.ever_connected += 1
        if self.recovered:
            for stream, check in self.checks.items():
                if stream.kind in LATEST_WINS:
                    check.resume()
        else:
            for subscription in self._subscriptions:
                self._ack_id += 1
                self._asked[self._ack_id] = subscription
                await socket.send(packets.encode_event(subscription.event, subscription.payload, ack_id=self._ack_id))
        self._settle_if_answered()

    def _on_connect_error(self, data: Any) -> None:
        self.final = True
        code = None
        if isinstance(data, dict):
            inner = data.get("data")
            code = inner.get("code") if isinstance(inner, dict) else data.get("message")
        self._tally.refused[str(code or "no reason")] += 1

    def _on_ack(self, number: int | None, args: list[Any]) -> None:
        subscription = self._asked.pop(number, None) if number is not None else None
        if subscription is None:
            self._tally.errors["unasked acknowledgement"] += 1
            return
        answer = args[0] if args and isinstance(args[0], dict) else {}
        if answer.get("success") is not True:
            self._tally.errors[f"{subscription.event}: {answer.get('reason', 'no answer')}"] += 1
            for stream in subscription.streams:
                self.checks.pop(stream, None)
        else:
            for failure in answer.get("failed") or ():
                self._tally.errors[f"{subscription.event}: {failure.get('reason')}"] += 1
                self.checks.pop(Stream("watchlist:quote", str(failure.get("symbol"))), None)
        self._settle_if_answered()

    def _settle_if_answered(self) -> None:
        if not self._asked:
            self.ready = True
            self.settled.set()

    def _on_event(self, data: list[Any]) -> None:
        if self._pid is not None and isinstance(data[-1], str):
            self._offset = data[-1]
        found = stream_of(data[0], data[1] if len(data) > 1 else None)
        if found is None:
            return
        stream, body = found
        if body.get("run") != self._run:
            return
        self._tally.deliveries += 1
        check = self.checks.get(stream)
        if check is None:
            # somebody else's event, or one of a subscription that was refused: a leak
            self._tally.errors[f"not subscribed: {stream.kind}"] += 1
            return
        seq, sent_at = body.get("seq"), body.get("sentAt")
        if not isinstance(seq, int) or not isinstance(sent_at, int | float):
            self._tally.errors["event without seq or sentAt"] += 1
            return
        try:
            check.take(seq)
        except ValueError:
            self._tally.errors["implausible sequence number"] += 1
            return
        self._tally.delivery_ms.add(max(0.0, time.time() * 1000 - sent_at))

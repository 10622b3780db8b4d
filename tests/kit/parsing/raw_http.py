"""The HTTP protocol on a connection that only notes what is written, under an application that reads what was sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import uvicorn
from uvicorn.server import ServerState

from kit.network.recording_transport import RecordingTransport
from tradecast.engine.http.connection_bounds import ConnectionBounds, HttpLimits
from tradecast.engine.http.handshake import Verdict
from tradecast.engine.http.request import Request
from tradecast.engine.server import EngineServer
from tradecast.engine.transports.websocket import WebSocketTransport
from tradecast.engine.uvicorn.protocol import bind_protocol
from tradecast.engine.uvicorn.websocket_handshake import Upgrades

LIMITS = HttpLimits(head_bytes=600, head_lines=12, query_bytes=100, pipelined=4)
# Turns of the event loop in which all is done that can be done without more bytes.
TURNS = 25
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ([ -~]*)\Z")
_HEADER = re.compile(rb"([!#-'*+.^_`|~0-9A-Za-z-]+): ([^\x00-\x08\x0a-\x1f\x7f]*)\Z")


class RefusalList(list[str]):
    """The reasons for which requests and connections were refused (`RefusalObserver`)."""

    def http_refused(self, reason: str) -> None:
        self.append(reason)


class Asked(NamedTuple):
    """A request as the application was given it."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Answer(NamedTuple):
    """An answer as the client gets it."""

    status: int
    body: bytes


class Socket(RecordingTransport):
    """What the server has of a connection.

    Attributes:
        written: All that was written.
        protocol: Who has it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        assert not self.half_closed, "written behind the end"
        if self.state == "open":
            self.written += data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol


class Open:
    """Lets every WebSocket in."""

    def admit(self, request: Request) -> Verdict:
        return None


async def _answer_all(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        body += event["body"]
        more = event["more_body"]
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    scope["state"]["asked"].append(Asked(scope["method"], target, scope["headers"], body))
    # In two turns: what comes meanwhile comes in the midst of an answer.
    size = (b"content-length", b"%d" % (len(body) + 4))
    await send(
        {"type": "http.response.start", "status": 200, "headers": [size, (b"x-method", scope["method"].encode())]}
    )
    await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"ok: " + body})


_CONFIG = uvicorn.Config(_answer_all, ws="none", lifespan="off", log_config=None, access_log=False)


class Talk:
    """A connection.

    Attributes:
        socket: What the server has of it.
        asked: What the application was asked.
        messages: What came over a WebSocket.
        bounds: The listener's connections: this one.
    """

    def __init__(self, limits: HttpLimits = LIMITS) -> None:
        self.socket = Socket()
        self.asked: list[Asked] = []
        self.messages: list[str | bytes] = []
        self.refused = RefusalList()
        self.bounds = ConnectionBounds(limits, observer=self.refused)
        self.engine = EngineServer(max_http_buffer_size=200)
        self.engine.on("message", lambda sid, data: self.messages.append(data))
        bound: Any = bind_protocol(Upgrades(self.engine, Open()), self.bounds)
        self._state = ServerState()
        self.http: Any = bound(config=_CONFIG, server_state=self._state, app_state={"asked": self.asked})
        self.socket.protocol = self.http
        self.http.connection_made(self.socket)

    async def hear(self, pieces: Sequence[bytes]) -> None:
        """Take bytes as they come, as long as the server reads."""
        for piece in pieces:
            await self._until_it_reads()
            if self.socket.state != "open" or not self.socket.reading:
                break
            self.socket.protocol.data_received(piece)
            self._check_bounds()
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def until_it_writes(self) -> None:
        """Until the server has written something."""
        for _ in range(TURNS):
            if self.socket.written:
                return
            await asyncio.sleep(0)

    async def _until_it_reads(self) -> None:
        await asyncio.sleep(0)
        for _ in range(TURNS):
            if self.socket.reading or self.socket.state != "open":
                return
            await asyncio.sleep(0)

    def _check_bounds(self) -> None:
        http, limits = self.http, self.bounds.limits
        if self.upgraded:
            return
        if not http._in_body and not http._discarding:
            assert http._counted < limits.head_bytes
        assert len(http.pipeline) <= limits.pipelined
        phases = (self.bounds.reading_head, self.bounds.reading_body, self.bounds.idle, self.bounds.closing)
        assert sum(http in phase for phase in phases) == (http.phase is not None)
        assert http.phase is None or http in http.phase

    @property
    def upgraded(self) -> bool:
        """Whether it is a WebSocket by now."""
        return isinstance(self.socket.protocol, WebSocketTransport)

    @property
    def answers(self) -> list[Answer]:
        """What the client reads: whole answers and nothing else, the last one but for a WebSocket's frames."""
        return read_answers(bytes(self.socket.written), cut_off=self.socket.state == "aborted")

    async def end(self) -> None:
        """The client is gone: nothing of it stays."""
        tasks = list(self._state.tasks)
        self.socket.state = "closed" if self.socket.state == "open" else self.socket.state
        self.socket.protocol.connection_lost(None)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert all(task.done() for task in tasks)
        assert [task.exception() for task in tasks if not task.cancelled()] == [None] * len(tasks)
        bounds = self.bounds
        assert not bounds.connections
        assert [
            phase for phase in (bounds.reading_head, bounds.reading_body, bounds.idle, bounds.closing) if phase
        ] == []
        assert not self.engine.sockets
        assert not self.engine.leaving
        bounds.close()
        await self.engine.shutdown()


def read_answers(written: bytes, *, cut_off: bool = False) -> list[Answer]:
    """Answers as RFC 9112 has them, each with its length. Fails where there is anything else.

    Args:
        written: What came.
        cut_off: Whether the last one may lack its end, and is left out then.
    """
    found: list[Answer] = []
    while written:
        head, end, written = written.partition(b"\r\n\r\n")
        if not end and cut_off:
            break
        assert end, "half a head"
        first, *lines = head.split(b"\r\n")
        status = _STATUS.match(first)
        assert status is not None, first
        headers: dict[bytes, bytes] = {}
        for line in lines:
            header = _HEADER.match(line)
            assert header is not None, line
            headers[header[1].lower()] = header[2]
        code = int(status[1])
        if code == 101:
            return [*found, Answer(code, written)]
        size = 0 if code == 100 or headers.get(b"x-method") == b"HEAD" else int(headers[b"content-length"])
        if len(written) < size and cut_off:
            break
        assert len(written) >= size, "half a body"
        found.append(Answer(code, written[:size]))
        written = written[size:]
    return found


async def hold_talk(pieces: Sequence[bytes], limits: HttpLimits = LIMITS) -> Talk:
    """A whole connection with these bytes, in which nothing goes wrong but for what the client does."""
    talk = Talk(limits)
    await talk.hear(pieces)
    answers = [answer for answer in talk.answers if answer.status != 100]
    # The application answers what it was asked, in order; then there may be one refusal, or a WebSocket.
    own = [answer.body.removeprefix(b"ok: ") for answer in answers if answer.status == 200]
    assert len(answers) - len(own) <= 1
    asked = [b"" if one.method == "HEAD" else one.body for one in talk.asked]
    assert own == asked[: len(own)]
    assert all(len(one.headers) <= limits.head_lines for one in talk.asked)
    await talk.end()
    return talk


_runner: asyncio.Runner | None = None


def check_http(pieces: Sequence[bytes]) -> None:
    """As `hold_talk`, for who has no event loop."""
    global _runner
    _runner = _runner or asyncio.Runner()
    _runner.run(hold_talk(pieces))

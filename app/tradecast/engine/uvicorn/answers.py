"""The answers of an HTTP connection, and the deadlines of its client."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tradecast.engine.http.connection_bounds import ConnectionBounds, Phase, RefusalReason
from tradecast.engine.http.handshake import Refusal
from tradecast.engine.uvicorn.websocket_handshake import (
    Upgrades,
)

TOO_SLOW: Final = Refusal.of(408, {"code": "TIMEOUT", "message": "The request did not come to its end in time"})


class BoundExceeded(Exception):
    """Stops the parser, which is in the midst of a slice."""

    def __init__(self, reason: RefusalReason, refusal: Refusal | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refusal = refusal


class HttpAnswers(HttpToolsProtocol):
    """State of an HTTP connection: how it is answered, and what happens when its client is late.

    Attributes:
        upgrades: Where WebSockets go; None: there are none.
        bounds: What its client may do, and in which phase it is.
    """

    upgrades: Upgrades | None = None
    bounds: ConnectionBounds

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # uvicorn waits for these when it stops, and `ConnectionBounds` counts them.
        self.bounds.connections = self.connections
        self.phase: Phase | None = None
        # See `HandshakeConnection`.
        self.early: bytes | None = None
        self.deciding: asyncio.Task[None] | None = None
        # What the parser reads now: a body (or what is around it), else a head.
        self._in_body = False
        # Bytes of that, from the first slice on that begins in it: a request that is sent behind another one may have
        # a slice more. They are counted before the parser has them, and it sets them to 0 at the end.
        self._counted = 0
        # Of the body: what the application gets of it, and what is around that.
        self._content = 0
        self._chunks = 0
        self._trailers = 0
        # Bytes of it that came after the answer.
        self._unwanted = 0
        # Why the parser was stopped.
        self._exceeded: BoundExceeded | None = None
        # While it waits for its turn: what is not read yet.
        self._rest: bytes | None = None
        # The request asks for a WebSocket.
        self._websocket = False
        # It was refused, or asked for another protocol: further data is discarded.
        self._discarding = False
        # The request that is being answered; uvicorn's `cycle` is the last one that came.
        self._answering: RequestResponseCycle | None = None

    # -- answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        # As uvicorn's, whose timer for each idle connection `ConnectionBounds` takes the place of.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._leave()
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif not self._in_body:
            self.bounds.enter_phase(self, self.bounds.reading_head if self._counted else self.bounds.idle)

    def _refuse(self, reason: RefusalReason, refusal: Refusal | None) -> None:
        """End the connection for a bound, and count it."""
        self.bounds.note_refusal(reason)
        self._end(refusal)

    def _end(self, refusal: Refusal | None) -> None:
        """End the connection, with an answer if this is the answer's place and there is one."""
        cycle: RequestResponseCycle | None = self.cycle
        if self._in_body:
            in_place = cycle is not None and not cycle.response_started and not self.pipeline
        else:
            in_place = cycle is None or cycle.response_complete
        self._forget_requests()
        if self.transport.is_closing():
            return
        if refusal is None or not in_place:
            self.transport.abort()
            return
        self.transport.write(refusal.encode())
        if self.transport.can_write_eof():
            self.transport.write_eof()
            flow: FlowControl | None = self.flow
            if flow is not None:
                flow.resume_reading()
        else:
            self.transport.close()
        self._leave()

    def _forget_requests(self) -> None:
        """Nobody's answer goes out any more: applications learn that the client is gone."""
        self._discarding = True
        self._counted = 0
        cycle, self._answering = self._answering, None
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()

    def _leave(self) -> None:
        self.bounds.enter_phase(self, self.bounds.closing)

    # -- deadlines (`BoundedConnection`)

    @property
    def body_received(self) -> int | None:
        """See `BoundedConnection`."""
        flow: FlowControl | None = self.flow
        return None if flow is not None and flow.read_paused else self._counted

    @property
    def unsent(self) -> int:
        """See `BoundedConnection`."""
        return self.transport.get_write_buffer_size()

    def abort(self) -> None:
        """See `BoundedConnection`."""
        self.transport.abort()

    def head_overdue(self) -> None:
        """See `BoundedConnection`."""
        # Who has sent nothing gets no answer: it has asked nothing.
        self._refuse("head_timeout", TOO_SLOW if self._counted else None)

    def body_overdue(self) -> None:
        """See `BoundedConnection`."""
        self._refuse("body_timeout", TOO_SLOW)

    def idle_overdue(self) -> None:
        """See `BoundedConnection`."""
        self.transport.close()
        self._leave()

"""The upgrade from polling to WebSocket: probe, answer, switch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from tradecast.engine.connection import Connection
from tradecast.engine.message import Message
from tradecast.engine.packets import PROBE, UPGRADE, Malformed
from tradecast.engine.transports.base import Receiver, Transport
from tradecast.engine.transports.polling import PollingTransport

_PROBED: Final = Message.of_packet(b"3probe")


class Upgradable(Transport, Protocol):
    """A WebSocket that may take a connection over."""

    receiver: Receiver | None

    def take_over(self, unsent: Sequence[Message]) -> None:
        """Send what another transport could not send before, as far as the client takes it now."""
        ...


class Upgrade:
    """What comes over a WebSocket that asks to carry a polling client's connection.

    Polling continues until the client has said that it is through with it; only then is anything sent by WebSocket.

    Args:
        upgrade_timeout: Seconds until it is given up, and the connection continues to poll.
        connection: What the client has.
        polling: What carries it now.
        websocket: What shall carry it.
    """

    __slots__ = ("_connection", "_polling", "_probed", "_timer", "_websocket")

    def __init__(
        self, upgrade_timeout: float, connection: Connection, polling: PollingTransport, websocket: Upgradable
    ) -> None:
        self._connection = connection
        self._polling = polling
        self._websocket = websocket
        self._probed = False
        self._timer = asyncio.get_running_loop().call_later(upgrade_timeout, self._give_up)
        websocket.receiver = self

    @property
    def message_limit(self) -> int:
        """Bytes of the largest message taken: what the connection's next transport may take at once."""
        return self._connection.message_limit

    def receive(self, packet: str | bytes) -> None:
        """Take the next packet of the handshake.

        Raises:
            Malformed: It is another one.
        """
        if packet == PROBE and not self._probed:
            self._probed = True
            self._websocket.send(_PROBED)
            self._polling.begin_upgrade()
        elif packet == UPGRADE and self._probed:
            self._switch()
        else:
            raise Malformed("not the next packet of an upgrade")

    def _switch(self) -> None:
        self._timer.cancel()
        connection = self._connection
        if connection.closed or connection.transport is not self._polling:
            self._websocket.close(1000)
            return
        waiting = self._polling.take_unsent()
        connection.adopt(self._websocket)
        self._websocket.receiver = connection
        self._polling.close()
        self._websocket.take_over(waiting)

    def lost(self, reason: str) -> None:
        """The WebSocket is gone; the client continues to poll."""
        self._timer.cancel()
        self._cancel()

    def _give_up(self) -> None:
        self._cancel()
        self._websocket.close(1000)

    def _cancel(self) -> None:
        if self._probed:
            self._probed = False
            self._polling.cancel_upgrade()

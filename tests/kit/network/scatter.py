"""A load balancer without any affinity: each HTTP request, and each WebSocket, goes to another server."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from kit.network.forwarder import Forwarder
from kit.network.proxy import Connection

_CONNECTION = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)


class Scatter(Forwarder):
    """Leads each connection by its first request, and lets no connection have a second one.

    Attributes:
        choose: Says by its head where a request goes; None: to the next server that takes it.
    """

    limit = 2**20

    def __init__(self, *urls: str) -> None:
        super().__init__(*urls)
        self.choose: Callable[[bytes], str | None] | None = None

    async def read_head(self, connection: Connection) -> None:
        head = await connection.reader.readuntil(b"\r\n\r\n")
        if b"upgrade: websocket" not in head.lower():
            head = _CONNECTION.sub(b"", head[:-4]) + b"\r\nConnection: close\r\n\r\n"
        connection.head = head

    def find_servers(self, connection: Connection) -> Sequence[str]:
        in_turn = super().find_servers(connection)
        chosen = self.choose(connection.head) if self.choose is not None else None
        return in_turn if chosen is None else [chosen]

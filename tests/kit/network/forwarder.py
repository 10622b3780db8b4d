"""A Service in small: TCP connections go to its servers in turn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from kit.network.proxy import Connection, Proxy


class Forwarder(Proxy[Connection]):
    """Leads each connection to the next server that takes it.

    Attributes:
        urls: Where the servers are; it may change at any time.
    """

    def __init__(self, *urls: str) -> None:
        super().__init__(Connection)
        self.urls = list(urls)
        self._turn = itertools.count()

    def find_servers(self, connection: Connection) -> Sequence[str]:
        return take_turn(self.urls, next(self._turn))


def take_turn(urls: Sequence[str], turn: int) -> Sequence[str]:
    """All of them in order, beginning with the one whose turn it is."""
    return [urls[(turn + number) % len(urls)] for number in range(len(urls))]

"""Transports of clients that are not authenticated, by the address that they come from."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tradecast.engine.http.addresses import Network

_NOBODY: Final[dict[str, None]] = {}


class ClientAddresses:
    """Counts transports per client address until their clients are authenticated, or gone.

    Handshakes that wait for their turn are counted too: else one address could have all the turns there are.

    Args:
        most: How many one address may have; 0: any number, and nothing is counted.
    """

    __slots__ = ("_most", "_network_of", "_of", "_waiting")

    def __init__(self, most: int) -> None:
        self._most = most
        # Oldest first.
        self._of: dict[Network, dict[str, None]] = {}
        self._network_of: dict[str, Network] = {}
        self._waiting: dict[Network, int] = {}

    def is_full(self, network: Network) -> bool:
        """Whether an address has as many as it may have."""
        return 0 < self._most <= len(self._of.get(network, _NOBODY)) + self._waiting.get(network, 0)

    def transports_of(self, network: Network) -> Collection[str]:
        """The transports of an address, oldest first. Not to be changed."""
        return self._of.get(network, _NOBODY).keys()

    def add(self, eio_sid: str, network: Network) -> None:
        """A transport is open."""
        if self._most:
            self._network_of[eio_sid] = network
            self._of.setdefault(network, {})[eio_sid] = None

    def remove(self, eio_sid: str) -> None:
        """Its client is authenticated, or it is gone; nothing happens if it is not counted."""
        network = self._network_of.pop(eio_sid, None)
        if network is not None:
            transports = self._of[network]
            del transports[eio_sid]
            if not transports:
                del self._of[network]

    def add_waiting(self, network: Network) -> None:
        """A handshake waits for its turn; `remove_waiting` has to follow."""
        self._waiting[network] = self._waiting.get(network, 0) + 1

    def remove_waiting(self, network: Network) -> None:
        """The handshake waits no more."""
        left = self._waiting[network] - 1
        if left:
            self._waiting[network] = left
        else:
            del self._waiting[network]

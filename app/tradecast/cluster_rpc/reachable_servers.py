"""The other servers that can be asked, and how many clients they have: one of three registries of live servers.

Each server sends all others a heartbeat a few times within its lease, through the broker's control channel. So a
heartbeat says not only that the server lives but that it can be asked, which a key in Redis with an expiry would not,
and it needs neither another connection nor another way for a single server. A new server says hello, and the others
send it a heartbeat at once. A server that is silent for its whole lease is gone: requests do not wait for it, and its
clients do not count. But while this server does not receive its own heartbeats (Redis is away, or hangs), no server is
gone. (Servers that can be reached by HTTP are in `polling_relay.addresses`, revisions in `lifecycle`.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tradecast.cluster_rpc.protocol import Heartbeat

MAX_SERVERS = 1_000


@dataclass(slots=True)
class _Server:
    connections: int
    lease: float
    until: float
    boot: str


class ReachableServers:
    """The other servers, by their heartbeats.

    Args:
        own: This server's name.
        lease: Seconds for which it counts after a heartbeat.
        clock: Seconds that never go back.
    """

    def __init__(self, own: str, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.own = own
        self._lease = lease
        self._clock = clock
        self._received_own: float | None = None
        self._servers: dict[str, _Server] = {}

    def __len__(self) -> int:
        """How many others there are."""
        return len(self._servers)

    @property
    def others(self) -> frozenset[str]:
        """Their names."""
        return frozenset(self._servers)

    @property
    def connections(self) -> int:
        """How many clients they have."""
        return sum(server.connections for server in self._servers.values())

    @property
    def boots(self) -> Collection[str] | None:
        """The boot id of each that relays requests, "" of one that does not; None: no heartbeat has ever come here."""
        return None if self._received_own is None else [server.boot for server in self._servers.values()]

    @property
    def is_isolated(self) -> bool:
        """True if this server's own heartbeat does not come back: then the silence of others says nothing."""
        return self._received_own is None or self._clock() - self._received_own > self._lease / 2

    def on_heartbeat(self, beat: Heartbeat) -> None:
        """A server has sent a heartbeat."""
        if beat.server == self.own:
            if self.is_isolated:
                self._extend_leases()
            self._received_own = self._clock()
        elif beat.leaving:
            self._servers.pop(beat.server, None)
        elif beat.server in self._servers or len(self._servers) < MAX_SERVERS:
            self._servers[beat.server] = _Server(beat.connections, beat.lease, self._clock() + beat.lease, beat.boot)

    def remove_expired(self) -> Collection[str]:
        """Remove the servers whose lease has expired; their names. To be called a few times within a lease."""
        now = self._clock()
        if self.is_isolated:
            self._extend_leases()
            return ()
        expired = [name for name, server in self._servers.items() if server.until < now]
        for name in expired:
            del self._servers[name]
        return expired

    def _extend_leases(self) -> None:
        """Heartbeats of the others did not come here meanwhile: their leases start again."""
        now = self._clock()
        for server in self._servers.values():
            server.until = now + server.lease

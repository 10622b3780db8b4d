"""Which servers are there, and how many clients they have.

Each server tells all others of itself a few times within its lease, through the broker's own channel: that says not
only that it lives but that it can be asked, which a key in Redis with an expiry would not, and it needs neither
another connection nor another way for a single server. A new server says hello, and the others tell it of themselves
at once. One that is silent for its whole lease is gone: it is waited for no more, and its clients count no more. But
while a server does not hear itself (Redis is away, or hangs), nobody is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tradecast.cluster_rpc.protocol import Beat

MAX_SERVERS = 1_000


@dataclass(slots=True)
class _Server:
    connections: int
    lease: float
    until: float
    boot: str


class Servers:
    """The other servers, as far as they have told.

    Args:
        own: This server's name.
        lease: Seconds for which it lives after it has told the others of itself.
        clock: Seconds that never go back.
    """

    def __init__(self, own: str, lease: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.own = own
        self._lease = lease
        self._clock = clock
        self._heard_own: float | None = None
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
        """What each has told of passing requests on: its boot id, or ""; None: nothing was ever heard here."""
        return None if self._heard_own is None else [server.boot for server in self._servers.values()]

    @property
    def is_isolated(self) -> bool:
        """Whether this server does not hear even itself: so the silence of others says nothing."""
        return self._heard_own is None or self._clock() - self._heard_own > self._lease / 2

    def heard(self, beat: Beat) -> None:
        """A server has told of itself."""
        if beat.server == self.own:
            if self.is_isolated:
                self._hold()
            self._heard_own = self._clock()
        elif beat.leaving:
            self._servers.pop(beat.server, None)
        elif beat.server in self._servers or len(self._servers) < MAX_SERVERS:
            self._servers[beat.server] = _Server(beat.connections, beat.lease, self._clock() + beat.lease, beat.boot)

    def gone(self) -> Collection[str]:
        """Those whose lease is over, which are forgotten herewith. To be called a few times within a lease."""
        now = self._clock()
        if self.is_isolated:
            self._hold()
            return ()
        over = [name for name, server in self._servers.items() if server.until < now]
        for name in over:
            del self._servers[name]
        return over

    def _hold(self) -> None:
        """What the others told meanwhile was not heard: their leases begin anew."""
        now = self._clock()
        for server in self._servers.values():
            server.until = now + server.lease

"""How many files this process may have open (RLIMIT_NOFILE): each connection is one."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass
from typing import Final

# Files for everything but client connections: the program itself, Redis, other servers, the admin port, and connections
# that are accepted and closed at once because the server is full.
_SPARED: Final = 4_096
_BACKLOG: Final = 2_048
_ADMIN: Final = 128


def raise_file_limit() -> None:
    """Raise the soft limit on open files, which is often 1,024, to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # some systems have a limit for "no limit"
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def read_file_limit() -> int | None:
    """The soft limit on open files; None: unlimited."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


@dataclass(frozen=True, slots=True)
class Shares:
    """How the limit on open files is divided.

    Attributes:
        clients: Connections of the public port.
        servers: Connections of the internal port, on which other servers forward requests.
        admin: Connections of the admin port, which are reserved for it.
        backlog: Connections that may be accepted at once.
    """

    clients: int
    servers: int
    admin: int
    backlog: int

    @classmethod
    def of(cls, limit: int | None, wanted: int, *, internal: bool) -> Shares:
        """Divide the limit: as many connections for clients and for servers as are wanted, if `limit` allows.

        Args:
            limit: Files that may be open; None: any number.
            wanted: Connections of the public port, and of the internal one.
            internal: Whether there is an internal port.
        """
        if limit is None:
            return cls(wanted, wanted, _ADMIN, _BACKLOG)
        spared = min(_SPARED, max(limit // 4, min(128, limit // 2)))
        left = limit - spared
        clients = max(1, min(wanted, left * 2 // 3 if internal else left))
        servers = max(1, min(wanted, left - clients))
        return cls(clients, servers, min(_ADMIN, max(1, spared // 8)), min(_BACKLOG, max(1, spared // 2)))

"""How many files this process may have open (RLIMIT_NOFILE): each connection is one."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass
from typing import Final

# Files that are no connections of clients: what the program has open, connections to Redis and to other servers,
# connections of the admin port, and those that were accepted and are closed at once since there is no room.
_SPARED: Final = 4_096
_BACKLOG: Final = 2_048
_ADMIN: Final = 128


def raise_file_limit() -> None:
    """Let this process open as many files as it is allowed to: what it starts with is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # some systems have a limit for "no limit"
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def read_file_limit() -> int | None:
    """Files that this process may have open; None: any number."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


@dataclass(frozen=True, slots=True)
class Shares:
    """How the open files are shared out.

    Attributes:
        clients: Connections of the public port.
        servers: Connections of the internal port, on which other servers forward requests.
        admin: Connections of the admin port, which nobody else can take.
        backlog: Connections that may be accepted at once.
    """

    clients: int
    servers: int
    admin: int
    backlog: int

    @classmethod
    def of(cls, limit: int | None, wanted: int, *, internal: bool) -> Shares:
        """Share files out: as many connections as are wanted for clients and for servers, or as `limit` allows.

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

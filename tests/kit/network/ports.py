"""Free ports of this machine."""

from __future__ import annotations

import contextlib
import os
import random
import socket

# Below the ports that systems give to outgoing connections and to whoever asks for any port (Linux from 32768 on, and
# RFC 6056 from 49152 on): such a port could be taken again before the server that it was found for has started.
# And below the node ports of Kubernetes.
LOWEST, HIGHEST = 10_240, 29_999
# Processes that run tests beside each other find different ports: what one has found is free until its server starts.
WORKERS = 16
_own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
_given: set[int] = set()
_random = random.SystemRandom()  # xdist's processes and hypothesis seed the usual one alike


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now, each another one; none is given twice by one process."""
    found: list[int] = []
    while len(found) < count:
        port = _random.randrange(LOWEST + _own, HIGHEST + 1, WORKERS)
        if port not in _given and _is_free(port):
            _given.add(port)
            found.append(port)
    return found


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        return True
    return False

"""Which servers are superseded in a rollout, decided from the reports of all servers. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

ENOUGH = 0.2


@dataclass(slots=True)
class Rollout:
    """This server's part in a rollout. `RevisionRegistry` updates it; the handshake gate, probes and drains read it.

    Attributes:
        superseded: Whether new clients should go to servers of a newer revision.
        takers: The number of servers that accept new clients, perhaps with this one, as last reported; None: servers do
            not report it.
    """

    superseded: bool = False
    takers: int | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A server of the fleet that is alive and does not drain.

    Attributes:
        revision: What was deployed (FLEET_REVISION).
        started: When it was first seen, microseconds of Redis' clock. A container that is restarted in its pod keeps
            its pod's.
        ready: Whether clients can reach it; not while it starts.
    """

    revision: str
    started: int
    ready: bool


def is_superseded(revision: str, servers: Collection[Server], enough: float = ENOUGH) -> bool:
    """Whether servers of `revision` should leave new clients to those of newer revisions.

    The rule:

    1. Of two revisions that is the newer one **whose newest server started later** (the same moment: by name, so that
       all servers say the same).
    2. A server is superseded while the ready servers of newer revisions are at least the share `enough` of all that
       are ready.

    Why the newest server, and not the time at which a revision was first seen: a rollback brings an old revision back
    under its old name (Kubernetes' pod-template-hash), often while some of its servers still live. It wins as soon as
    the first server that it adds starts; by first sight it would refuse clients until the last server of the revision
    that is being rolled back is gone. A rollback that adds no server needs no rule: the newer revision's servers
    drain, and are not listed then. The price: an old server that is replaced in the middle of a rollout (its node
    died) makes the old revision the newer one until the next server of the new one starts. Then some clients move once
    more than needed. A container that crashes and is restarted does not, since it keeps its start.

    Why a share: clients are balanced over all servers that are ready, superseded ones included, and come back with
    growing pauses. With a fifth one needs five tries on average; with one server of many (a canary, a rollout that is
    stuck) most clients would be kept out for a minute. A surge of 25 %, Deployments' default, is a fifth of the whole.

    Whatever is listed, somebody takes clients: the newest revision with a ready server has none above it that count.
    And those who take them are at least the share `enough` of the ready servers: what counts against the newest
    superseded revision is just them.
    """
    newest: dict[str, int] = {}
    for server in servers:
        newest[server.revision] = max(server.started, newest.get(server.revision, 0))
    if revision not in newest:
        return False
    own = (newest[revision], revision)
    ready = [server for server in servers if server.ready]
    newer = sum(1 for server in ready if (newest[server.revision], server.revision) > own)
    return newer > 0 and newer >= enough * len(ready)


def count_takers(servers: Collection[Server]) -> int:
    """Count the servers that accept new clients: clients can reach them, and they are not superseded."""
    superseded = {one for one in {server.revision for server in servers} if is_superseded(one, servers)}
    return sum(1 for server in servers if server.ready and server.revision not in superseded)

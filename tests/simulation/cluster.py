"""A Deployment of servers and the clients of its Service, counted per pod: what the operator sees and acts on."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tradecast_operator.model.actions import Action, CancelDrain, PutFirst, SetReplicas, Shed, StartDrain
from tradecast_operator.model.observation import Observation, Pod, Stats

TICK = 5.0
# Of the chart: seconds between "not ready" and the first client; most connections of a server; new ones per second.
DELAY = 5.0
MAX_CONNECTIONS = 10_000
ACCEPTS = 200
# Share of ready servers of a newer revision from which on the older ones refuse new clients.
SUPERSEDED = 0.2
# Share of the time left that a server plans with when it has to disconnect clients faster than it is meant to.
TIME_USED = 0.8


@dataclass(slots=True, eq=False)
class Server:
    """A pod.

    Attributes:
        name: Its name, and its uid.
        revision: Of the template.
        ready_at: When it will be ready; infinite: never.
        ready_since: As in the operator's observation.
        clients: Connected now.
        drain_from: Since when its server drains; None: it does not.
        drain_rate: How many leave per second, of all servers.
        deadline: When those who are left are cut off at once.
        raised: The rate of its own that lack of time made necessary; 0: none did.
        shed: How many are still to be shed.
        mark: When the operator marked it.
        goes_first: Whether it has the lowest deletion cost.
        terminating: Whether it has been deleted.
        fails_until: When its admin port answers again.
    """

    name: str
    revision: int
    ready_at: float
    ready_since: float | None = None
    clients: int = 0
    drain_from: float | None = None
    drain_rate: float = 0.0
    deadline: float = math.inf
    raised: float = 0.0
    shed: int = 0
    shed_rate: float = 0.0
    mark: float | None = None
    goes_first: bool = False
    terminating: bool = False
    fails_until: float = 0.0
    template: Pod | None = None

    def seen(self, now: float) -> Pod:
        """As the operator sees it."""
        started = now >= self.ready_at - 10
        silent = not started or now < self.fails_until
        old = self.template
        if old is not None and old.stats is not None and not silent and old.ready_since == self.ready_since:
            stats = old.stats
            same = stats.connections == self.clients and old.started == started
            same &= stats.draining == (self.drain_from is not None) and stats.shedding == (self.shed > 0)
            same &= old.terminating == self.terminating and old.goes_first == self.goes_first
            if same and old.drain_since == self.mark:
                return old
        stats_now = None if silent else Stats(self.clients, self.drain_from is not None, self.shed > 0)
        self.template = Pod(
            self.name,
            self.name,
            None if self.terminating else self.ready_since,
            started,
            self.terminating,
            str(self.revision),
            self.goes_first,
            self.mark,
            stats_now,
        )
        return self.template


@dataclass(slots=True)
class Tally:
    """What happened.

    Attributes:
        forced: Reconnects that clients did not ask for, by cause.
        away: The longest time that a client was away, in seconds.
        pod_seconds: Of all pods that ran, those that ended included.
        overload_seconds: Of pods that held more than they are meant to, by more than a fifth.
        writes: Times that replicas of the Deployment were written, up and down.
        turns: Times that they went in the other direction than before.
        cut: Of those, the ones that were cut off with all others of their pod at once.
        peak: The most forced reconnects per second, by cause; those that are cut off at once are in one second.
        refused: Attempts to connect that no pod took.
        peak_refused: The most of them per second.
        refusing: Seconds in which there were any.
    """

    forced: Counter[str] = field(default_factory=Counter)
    away: float = 0.0
    pod_seconds: float = 0.0
    overload_seconds: float = 0.0
    writes: int = 0
    turns: int = 0
    cut: Counter[str] = field(default_factory=Counter)
    peak: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    refused: int = 0
    peak_refused: float = 0.0
    refusing: float = 0.0


class Cluster:
    """The Deployment, its ReplicaSets, and the Service.

    Args:
        replicas: To begin with, ready.
        clients: To begin with, spread evenly.
        per_replica: What a pod is meant to hold.
        grace: Seconds for which a terminating server disconnects its clients paced, before it closes the rest.
        rate: Clients disconnected per second, by all servers together, unless a drain says otherwise.
        session: Seconds that people stay, on average.
        fewest: Whether clients come to the servers with the fewest connections; else to each in turn.
        start: Seconds that a pod takes to be ready, least and most.
        adaptive: Whether servers that run out of time disconnect clients faster.
        seed: Of all that is random.
    """

    def __init__(
        self,
        replicas: int,
        clients: int,
        *,
        per_replica: int,
        grace: float = 60.0,
        rate: float = 100.0,
        session: float = 4 * 3600.0,
        fewest: bool = False,
        start: tuple[float, float] = (20.0, 60.0),
        adaptive: bool = True,
        seed: int = 1,
    ) -> None:
        self.now = 1_000_000.0
        self.replicas = replicas
        self.tally = Tally()
        self.servers: list[Server] = []
        self.revision = 0
        self._version = 0
        self._up: bool | None = None
        self._per_replica = per_replica
        self._grace = grace
        self._rate = rate
        self._session = session
        self._fewest = fewest
        self._start = start
        self._adaptive = adaptive
        self._random = random.Random(seed)
        self._made = 0
        # Clients on their way: since when (infinite: for the first time), and when they try.
        self._coming: Counter[tuple[float, float]] = Counter()
        self._ticks = 0
        for _ in range(replicas):
            server = self._make(0.0)
            server.ready_since = self.now - 3600
            server.clients = clients // replicas

    @property
    def connected(self) -> int:
        """Clients that are connected, wherever."""
        return sum(server.clients for server in self.servers)

    @property
    def alive(self) -> list[Server]:
        """Pods that have not been deleted."""
        return [server for server in self.servers if not server.terminating]

    @property
    def spread(self) -> float:
        """Of the fullest ready pod to the mean."""
        counts = [server.clients for server in self.servers if server.ready_since is not None]
        return max(counts) * len(counts) / sum(counts) if sum(counts) else 1.0

    def observe(self) -> Observation:
        """What the operator sees."""
        revisions = {server.revision for server in self.servers if not server.terminating} | {self.revision}
        pods = [server.seen(self.now) for server in self.servers]
        return Observation(self.now, self.replicas, str(self._version), len(revisions) > 1, pods)

    def set_replicas(self, count: int) -> None:
        """Write the Deployment's replicas."""
        if count == self.replicas:
            return
        up = count > self.replicas
        self.tally.writes += 1
        self.tally.turns += self._up is not None and up != self._up
        self._up = up
        self.replicas = count
        self._version += 1

    def roll(self) -> None:
        """Begin a rollout."""
        self.revision += 1
        self._version += 1

    def act(self, actions: Iterable[Action], timeout: float) -> None:
        """What the operator does; `timeout`: seconds after which a server that it drains cuts clients off."""
        servers = {server.name: server for server in self.servers}
        for action in actions:
            match action:
                case SetReplicas():
                    if action.version == str(self._version):
                        self.set_replicas(action.replicas)
                case StartDrain():
                    server = servers[action.pod]
                    server.mark = action.since
                    if server.drain_from is None and self.now >= server.fails_until:
                        server.drain_from, server.drain_rate, server.shed = self.now, action.rate, 0
                        server.deadline = self.now + DELAY + timeout
                case CancelDrain():
                    server = servers[action.pod]
                    server.mark, server.goes_first = None, False
                    server.drain_from, server.deadline, server.raised = None, math.inf, 0.0
                case PutFirst():
                    servers[action.pod].goes_first = True
                case Shed():
                    server = servers[action.pod]
                    server.shed, server.shed_rate = min(action.count, server.clients), action.rate

    def tick(self, people: int) -> None:
        """Let some seconds pass, at the end of which so many people want to be connected."""
        self.now += TICK
        self._ticks += 1
        self._begin_and_end()
        self._deploy()
        forced, cut = self.tally.forced.copy(), self.tally.cut.copy()
        self._send_away()
        for cause, count in self.tally.forced.items():
            at_once = self.tally.cut[cause] - cut[cause]
            rate = (count - forced[cause] - at_once) / TICK + at_once
            self.tally.peak[cause] = max(self.tally.peak[cause], rate)
        if self._ticks % 3 == 0:
            self._come_and_go(people)
        self._connect()
        limit = self._per_replica * 1.2
        self.tally.pod_seconds += TICK * len(self.servers)
        self.tally.overload_seconds += TICK * sum(server.clients > limit for server in self.servers)

    def kill(self, server: Server) -> None:
        """A node dies: no goodbye."""
        self.servers.remove(server)
        self._leave(server, server.clients, "lost")

    def _make(self, after: float) -> Server:
        self._made += 1
        server = Server(f"pod-{self._made:05d}", self.revision, self.now + after)
        self.servers.append(server)
        return server

    def _begin_and_end(self) -> None:
        gone = False
        for server in self.servers:
            if server.drain_from is not None:
                if self.now - server.drain_from >= DELAY:
                    server.ready_since = None
                    gone |= server.terminating and not server.clients
            elif server.ready_since is None and self.now >= server.ready_at:
                server.ready_since = self.now
        if gone:
            self.servers = [
                server
                for server in self.servers
                if server.clients or not server.terminating or self.now - (server.drain_from or self.now) < DELAY
            ]

    def _deploy(self) -> None:
        alive = self.alive
        new = [server for server in alive if server.revision == self.revision]
        old = [server for server in alive if server.revision != self.revision]
        for _ in range(self.replicas - len(new)):
            self._make(self._random.uniform(*self._start))
        self._delete(new, len(new) - self.replicas)
        # maxSurge 100 %, maxUnavailable 0: as many old ones go as new ones are ready.
        ready = sum(server.ready_since is not None for server in alive)
        self._delete(old, min(len(old), max(0, ready - self.replicas)) if ready >= self.replicas else 0)

    def _delete(self, servers: Sequence[Server], count: int) -> None:
        if count <= 0:
            return
        for server in sorted(servers, key=self._order)[:count]:
            server.terminating = True
            if server.drain_from is None:
                server.drain_from, server.drain_rate = self.now, self._rate
            server.deadline = self.now + DELAY + self._grace
            server.shed = 0

    def _order(self, server: Server) -> tuple[bool, bool, bool, int, float]:
        age = self.now - (self.now if server.ready_since is None else server.ready_since)
        running = self.now >= server.ready_at - 10
        young = int(math.log2(age)) if age >= 1 else 0
        return running, server.ready_since is not None, not server.goes_first, young, self._random.random()

    def _send_away(self) -> None:
        leaving: list[tuple[Server, float, str]] = []
        for server in self.servers:
            if not server.clients:
                server.shed = 0
            elif server.drain_from is not None:
                cause = "drain" if server.mark is not None or server.revision == self.revision else "rollout"
                if self.now > server.deadline:
                    self.tally.cut[cause] += server.clients
                    self._leave(server, server.clients, cause)
                elif self.now - server.drain_from > DELAY:
                    need = server.clients / (TIME_USED * max(TICK, server.deadline - self.now))
                    if self._adaptive and need > server.drain_rate:
                        server.raised = max(server.raised, need)
                    if server.raised:
                        # Beside the fleet's shared queue.
                        count = min(server.clients, int(server.raised * TICK + self._random.random()))
                        self._leave(server, count, cause)
                    else:
                        leaving.append((server, server.drain_rate, cause))
            elif server.shed:
                leaving.append((server, server.shed_rate, "shed"))
        # One row of moments for all; what one does not need the others have.
        seconds = TICK
        for place, (server, rate, cause) in enumerate(sorted(leaving, key=lambda one: _leavers(one[0]))):
            share = seconds / (len(leaving) - place)
            count = min(_leavers(server), int(share * rate + self._random.random()))
            seconds -= min(seconds, count / rate)
            if cause == "shed":
                server.shed -= count
            self._leave(server, count, cause)

    def _leave(self, server: Server, count: int, cause: str) -> None:
        server.clients -= count
        self.tally.forced[cause] += count
        late = count // 5  # stock clients try again after 0.5 to 1.5 s, and later if that failed
        self._coming[self.now, self.now + TICK] += count - late
        self._coming[self.now, self.now + 2 * TICK] += late

    def _come_and_go(self, people: int) -> None:
        share = 3 * TICK / self._session
        connected, coming = self.connected, sum(self._coming.values())
        surplus = connected * (1 - share) + coming - people
        if surplus > 0 and connected:
            share += surplus / connected
        draw = self._random.random
        gone = 0
        for server in self.servers:
            count = min(server.clients, int(server.clients * share + draw()))
            server.clients -= count
            gone += count
        if surplus < 0:
            missing = people - coming - connected + gone
            for later in range(3):  # until the next time
                self._coming[math.inf, self.now + later * TICK] += missing // 3

    def _connect(self) -> None:
        coming = 0
        waiting: list[tuple[float, int]] = []
        for key in sorted(key for key in self._coming if key[1] <= self.now):
            count = self._coming.pop(key)
            coming += count
            waiting.append((key[0], count))
        if not coming:
            return
        takers = self._takers()
        left = self._spread(coming, takers)
        self.tally.refused += left
        self.tally.peak_refused = max(self.tally.peak_refused, left / TICK)
        self.tally.refusing += TICK if left else 0
        # Those that came first are let in first.
        inside = coming - left
        for since, count in waiting:
            admitted = min(count, inside)
            inside -= admitted
            if admitted and since < math.inf:
                self.tally.away = max(self.tally.away, self.now - since)
            if count > admitted:
                self._coming[since, self.now + TICK] += count - admitted

    def _takers(self) -> list[Server]:
        takers = [server for server in self.servers if server.ready_since is not None and self.now > server.ready_since]
        newest = [server for server in takers if server.revision == self.revision]
        return newest if len(newest) >= SUPERSEDED * len(takers) else takers

    def _spread(self, coming: int, takers: Sequence[Server]) -> int:
        """Round robin, each as many as it accepts; how many were refused."""
        if not takers:
            return coming
        if self._fewest:
            return self._fill(coming, takers)
        each, more = divmod(coming, len(takers))
        lucky = self._random.randrange(len(takers))
        left = 0
        for place, server in enumerate(takers):
            count = each + ((place - lucky) % len(takers) < more)
            taken = min(count, int(ACCEPTS * TICK), max(0, MAX_CONNECTIONS - server.clients))
            server.clients += taken
            left += count - taken
        return left

    def _fill(self, coming: int, takers: Sequence[Server]) -> int:
        """The emptiest first, up to a level; how many were refused."""
        low, high = 0, MAX_CONNECTIONS
        while low < high:
            level = (low + high) // 2
            if sum(min(int(ACCEPTS * TICK), max(0, level - server.clients)) for server in takers) >= coming:
                high = level
            else:
                low = level + 1
        for server in takers:
            taken = min(coming, int(ACCEPTS * TICK), max(0, low - server.clients))
            server.clients += taken
            coming -= taken
        return coming


def _leavers(server: Server) -> int:
    return server.clients if server.drain_from is not None else min(server.shed, server.clients)

"""A day of a fleet, under the operator and under a plain Horizontal Pod Autoscaler."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from simulation.autoscaler import Autoscaler, Behavior
from simulation.cluster import TICK, Cluster, Tally
from simulation.curve import HOUR, TRADING_DAY, Curve
from tradecast_operator.model.spec import Drain, Metric, Rebalance, Spec
from tradecast_operator.planning import autoscaler_metric as metric
from tradecast_operator.planning.plan import PlannerState, make_plan

SYNC = 15.0  # of the HPA, and of KEDA's readings


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron trigger: so many pods from one hour to another."""

    begin: float
    end: float
    pods: int

    def scheduled(self, hour: float) -> int:
        """What KEDA tells the autoscaler at that hour."""
        return self.pods if self.begin <= hour < self.end else 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fleet and its day.

    Attributes:
        name: What it is.
        pods: At the peak.
        per_replica: Connections that a pod is meant to hold.
        shape: The day.
        rollout: At which hour there is one; negative: never.
        behavior: The HPA's.
        rate: Clients that drains send away per second, in the whole fleet.
        shed: The same of rebalancing.
        threshold: Above which the fleet is uneven.
        hold: Seconds for which the metric does not fall.
        grace: Seconds for which a server that ends sends clients away at that rate; 0: as the chart derives them.
        session: Seconds that people stay.
        fewest: Whether clients come to the pods with the fewest connections.
        noise: Share by which their number wanders.
        start: Seconds that a pod takes to be ready, least and most.
        cron: Pods that are asked for whatever the connections; None: none.
        most: Pods that there may be; 0: a fifth more than at the peak.
        sample: Seconds between two samples.
        seed: Of all that is random.
    """

    name: str
    pods: int
    per_replica: int = 5000
    shape: Sequence[tuple[float, float]] = TRADING_DAY
    rollout: float = 14.5
    behavior: Behavior = field(default_factory=Behavior)
    rate: float = 100
    shed: float = 50
    threshold: float = 1.25
    hold: float = 120
    grace: float = 0
    session: float = 4 * HOUR
    fewest: bool = False
    noise: float = 0.01
    start: tuple[float, float] = (20.0, 60.0)
    cron: Cron | None = None
    most: int = 0
    sample: float = 60.0
    seed: int = 1

    @property
    def high(self) -> int:
        """Most pods."""
        return self.most or self.pods + max(2, self.pods // 5)

    @property
    def drain_time(self) -> float:
        """Seconds for which a server that ends disconnects clients at the rate."""
        return self.grace or min(3600, max(60, self.high * self.per_replica / self.rate))

    def scheduled(self, now: float) -> int | None:
        """Pods that the cron trigger asks for; None: there is none."""
        return None if self.cron is None else self.cron.scheduled(now / HOUR)


@dataclass(slots=True)
class Day:
    """What came of it.

    Attributes:
        tally: The sums.
        times: Of the samples, in hours.
        people: Who wanted to be connected.
        pods: That ran.
        spread: Of the fullest pod to the mean.
        fullest: What the fullest pod held.
        connected: Who was.
        refused: Attempts to connect that no pod took, per second.
        replicas: That the Deployment asked for, least and most.
        seconds: That the simulation took.
    """

    tally: Tally
    times: list[float] = field(default_factory=list)
    people: list[int] = field(default_factory=list)
    pods: list[int] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)
    fullest: list[int] = field(default_factory=list)
    connected: list[int] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    replicas: tuple[int, int] = (0, 0)
    seconds: float = 0.0


def under_operator(scenario: Scenario, *, rebalance: bool = True) -> Day:
    """The HPA writes the SocketFleet's replicas, the operator the Deployment's."""
    cluster, curve, low, high = _begin(scenario)
    scaler = Autoscaler(scenario.per_replica, low, high, scenario.behavior)
    rules = Rebalance(enabled=rebalance, rate=scenario.shed, threshold=scenario.threshold)
    state, reading, replicas = PlannerState(), metric.Reading(), cluster.replicas

    def round_(now: float) -> None:
        nonlocal state, reading, replicas
        spec = Spec(
            "x",
            replicas=replicas,
            min_replicas=low,
            max_replicas=high,
            connections_per_replica=scenario.per_replica,
            drain=Drain(rate=scenario.rate),
            rebalance=rules,
            metric=Metric(hold=scenario.hold),
        )
        seen = cluster.observe()
        reading = metric.update_reading(seen, reading, spec.metric)
        decided = make_plan(seen, spec, state)
        state = decided.state
        if decided.actions:
            cluster.act(decided.actions, spec.drain.timeout)
        if now % SYNC == 0:
            try:
                total: int | None = metric.count_connections(reading, cluster.now, spec.metric)
            except metric.Unknown:
                total = None
            # Neither pods that are drained nor those that a rollout adds for a while: the tolerance is around what is.
            status = min(seen.replicas, sum(not pod.terminating and pod.drain_since is None for pod in seen.pods))
            replicas = scaler.replicas(now, total, replicas, status, scenario.scheduled(now))

    return _live(scenario, cluster, curve, round_)


def under_plain_hpa(scenario: Scenario) -> Day:
    """The HPA writes the Deployment's replicas, and the ReplicaSet kills pods."""
    cluster, curve, low, high = _begin(scenario)
    scaler = Autoscaler(scenario.per_replica, low, high, scenario.behavior)

    def round_(now: float) -> None:
        if now % SYNC == 0:
            total = cluster.connected
            alive = len(cluster.alive)
            cluster.set_replicas(scaler.replicas(now, total, cluster.replicas, alive, scenario.scheduled(now)))

    return _live(scenario, cluster, curve, round_)


def _begin(scenario: Scenario) -> tuple[Cluster, Curve, int, int]:
    curve = Curve(scenario.shape, scenario.pods * scenario.per_replica, noise=scenario.noise, seed=scenario.seed)
    people = curve.people(0.0)
    replicas = max(3, -(-people // scenario.per_replica))
    cluster = Cluster(
        replicas,
        people,
        per_replica=scenario.per_replica,
        grace=scenario.drain_time,
        rate=scenario.rate,
        session=scenario.session,
        fewest=scenario.fewest,
        start=scenario.start,
        seed=scenario.seed,
    )
    return cluster, curve, 3, scenario.high


def _live(scenario: Scenario, cluster: Cluster, curve: Curve, round_: Callable[[float], None]) -> Day:
    began, now, rolled = time.monotonic(), 0.0, scenario.rollout < 0
    day = Day(cluster.tally, replicas=(cluster.replicas, cluster.replicas))
    refused = 0
    while now < curve.seconds:
        now += TICK
        people = curve.people(now)
        cluster.tick(people)
        if not rolled and now >= scenario.rollout * HOUR:
            cluster.roll()
            rolled = True
        round_(now)
        day.replicas = min(day.replicas[0], cluster.replicas), max(day.replicas[1], cluster.replicas)
        if now % scenario.sample == 0:
            day.times.append(now / HOUR)
            day.people.append(people)
            day.pods.append(len(cluster.servers))
            day.spread.append(cluster.spread)
            day.fullest.append(max(server.clients for server in cluster.servers))
            day.connected.append(cluster.connected)
            day.refused.append((cluster.tally.refused - refused) / scenario.sample)
            refused = cluster.tally.refused
    day.seconds = time.monotonic() - began
    return day

"""The Horizontal Pod Autoscaler, as it is documented: an External metric with AverageValue, and `behavior`.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Behavior:
    """What the chart writes; the values are its defaults.

    Attributes:
        up_pods: Pods that may come per period; or as many as there are.
        up_period: Seconds.
        down_pods: Pods that may go per period.
        down_period: Seconds.
        down_window: Seconds for which the need must have been lower.
    """

    up_pods: int = 4
    up_period: float = 30
    down_pods: int = 1
    down_period: float = 120
    down_window: float = 300


@dataclass(slots=True)
class Autoscaler:
    """One HPA.

    Attributes:
        target: Connections per pod.
        low: Fewest pods.
        high: Most pods.
        behavior: How fast.
    """

    target: int
    low: int
    high: int
    behavior: Behavior = field(default_factory=Behavior)
    _wishes: list[tuple[float, int]] = field(default_factory=list)
    _ups: list[tuple[float, int]] = field(default_factory=list)
    _downs: list[tuple[float, int]] = field(default_factory=list)

    def replicas(self, now: float, total: int | None, spec: int, status: int, scheduled: int | None = None) -> int:
        """How many there are to be.

        Args:
            now: Seconds.
            total: The metric; None: its reading failed.
            spec: `spec.replicas` of the scale subresource.
            status: `status.replicas` of the same, by which the metric is divided.
            scheduled: Pods that a cron trigger asks for now; None: there is no such trigger.
        """
        wishes = [] if total is None else [_wish(total, self.target, status)]
        if scheduled is not None:
            wishes.append(_wish(scheduled, 1, status))
        if not wishes or (total is None and max(wishes) < spec):
            return spec
        wish = max(wishes)
        rules = self.behavior
        self._wishes = [(at, count) for at, count in self._wishes if at > now - rules.down_window]
        self._wishes.append((now, wish))
        if wish < spec:
            wish = min(spec, max(count for _, count in self._wishes))
        self._ups = [(at, count) for at, count in self._ups if at > now - rules.up_period]
        self._downs = [(at, count) for at, count in self._downs if at > now - rules.down_period]
        ups, downs = (sum(count for _, count in events) for events in (self._ups, self._downs))
        if wish > spec:
            begin = spec - ups + downs
            wish = max(spec, min(wish, max(begin + rules.up_pods, begin * 2)))
        elif wish < spec:
            wish = min(spec, max(wish, spec + downs - ups - rules.down_pods))
        wish = max(self.low, min(self.high, wish))
        if wish > spec:
            self._ups.append((now, wish - spec))
        elif wish < spec:
            self._downs.append((now, spec - wish))
        return wish


def _wish(metric: int, target: int, status: int) -> int:
    """Pods for an External metric with an AverageValue."""
    if abs(metric / (target * max(1, status)) - 1) <= TOLERANCE:
        return status
    return math.ceil(metric / target)

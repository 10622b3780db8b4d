"""Which mode and which figures of the adapter are right for a fleet: pure rules (docs/operator.md has them in words).

Each rule leaves a figure alone unless what it asks for is far enough from it that noise is not the reason.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from tradecast_operator.model.adapter_spec import BOUNDS, Figures, Mode, RedisAdapter
from tradecast_operator.model.answers import fields, number, text, truth, whole
from tradecast_operator.model.observation import Pod
from tradecast_operator.tuning.redis_limits import Watched

# The figure by which events are published for the servers of another mode as well.
BOTH: Final = "publish_both"
# Connections from which one server without Redis is too few, and one Redis may be; and shares of them under which
# that is taken back.
NEEDS_REDIS, NEEDS_CLUSTER = 1_000, 10_000
BACK = 0.8
# A figure changes when it is off by this factor.
WORTH: Final = 1.5
# Seconds of publishing that one request may take along, and the most that it may: Redis does nothing else meanwhile.
BATCH_SECONDS, LARGEST_BATCH = 0.05, 256
# Events per second of the whole fleet from which requests are kept back for others, and under which they are not.
WINDOW_FROM, WINDOW_UNTIL = 4_000, 2_000
# Requests per second that all servers together send then, and the longest that an event is kept back, in ms.
REQUESTS, LONGEST_WINDOW = 2_000, 10
# How many times the usual rate the buffer holds, for as long as an event may wait.
BURST, LARGEST_BUFFER = 2, 200_000
# Requests in which a lost subscription is repaired.
REPAIR_REQUESTS, LARGEST_SUBSCRIPTION = 20, 5_000
# Shares of Redis' memory: above, the history is lowered; below, it is given back; what either aims at.
MEMORY_HIGH, MEMORY_LOW, MEMORY_AIM = 0.75, 0.45, 0.6
# A server does not say more than this of anything; it calls a content by at most so many characters.
MOST: Final = 1_000_000_000
LONGEST_REVISION: Final = 100
# A room may have so many times the events of the mean one, and the history holds so many in any case.
HOT, SHORTEST_HISTORY = 10, 100


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a server says of its adapter.

    Attributes:
        pod: Its name.
        mode: The mode that it is in.
        figures: What is in force.
        base: Those of them that its settings say.
        revision: Of the content in force; None: of none.
        seen: Of the content that it found last.
        error: Why it refused that; empty: it did not.
        published: Events per second that Redis took from it.
        waiting: Events that wait for Redis.
        channels: Rooms that it listens to.
        away: Seconds for which other servers' events have not come.
        modes: Those that it can be in, by its URLs; empty: it does not tell.
        other_up: Whether the Redis of the mode that it is not in answers; None: it has none, or has not asked it yet.
        other_failed: Events that this one did not take, or perhaps not, since the server began.
    """

    pod: str
    mode: Mode
    figures: Figures
    base: Figures = field(default_factory=dict)
    revision: str | None = None
    seen: str | None = None
    error: str = ""
    published: float = 0
    waiting: int = 0
    channels: int = 0
    away: float = 0
    modes: tuple[str, ...] = ()
    other_up: bool | None = None
    other_failed: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """Another value for a figure, and why."""

    figure: str
    before: float
    after: float
    why: str

    def __str__(self) -> str:
        return f"{self.figure} {self.before:g} → {self.after:g} ({self.why})"


def adapter_of(pod: Pod) -> Adapter | None:
    """What a pod's server says; None if it says nothing, or what this version does not understand."""
    said = pod.stats.adapter if pod.stats is not None else None
    try:
        return _adapter(pod.name, said)
    except (KeyError, ValueError):
        return None


def _adapter(pod: str, said: Any) -> Adapter | None:
    if said is None:
        return None
    said, traffic = fields(said), fields(said["traffic"])
    # Servers of earlier versions do not know the last figure.
    source, force = {BOTH: "settings", **fields(said["source"])}, {BOTH: 0, **fields(said["inForce"])}
    mode = mode_of(said)
    if mode is None:
        raise ValueError("no such mode")
    figures = {name: _number(force[name], *BOUNDS[name]) for name in BOUNDS}
    other = None if said.get("other") is None else fields(said["other"])
    published = fields((other or {}).get("published") or {})
    return Adapter(
        pod=pod,
        mode=mode,
        figures=figures,
        base={name: value for name, value in figures.items() if source[name] == "settings"},
        revision=None if said["revision"] is None else text(said["revision"], LONGEST_REVISION),
        seen=None if said["seen"] is None else text(said["seen"], LONGEST_REVISION),
        error=text(said["error"] or "", 300),
        published=_number(traffic["publishedPerSecond"], 0, MOST),
        waiting=whole(traffic["waiting"], MOST),
        channels=whole(traffic["channels"], MOST),
        away=_number(traffic["awaySeconds"], 0, MOST),
        modes=tuple(known for known in get_args(Mode) if known in _list(said.get("modes"))),
        other_up=None if other is None or other["up"] is None else truth(other["up"]),
        other_failed=sum(whole(published.get(how, 0), MOST) for how in ("failed", "uncertain")),
    )


def recommended_mode(
    rules: RedisAdapter,
    before: Mode,
    runs: Mode,
    connections: int,
    servers: int,
    redis: Watched,
    *,
    cluster: bool = False,
) -> tuple[Mode, str]:
    """The mode that is right, and why.

    Args:
        rules: What is asked for.
        before: What was recommended last.
        runs: What the servers are in.
        connections: Of the whole fleet.
        servers: How many there are to be.
        redis: What is known of Redis.
        cluster: Whether the servers have a Redis Cluster beside it.
    """
    if rules.mode != "auto":
        return rules.mode, "the SocketFleet says so"
    told = f"{_about(connections)} connections, {servers} {'server' if servers == 1 else 'servers'}"
    if servers == 1 and connections < NEEDS_REDIS * (1 if before == "single" else BACK):
        return "single", f"{told}: one server needs no Redis below {NEEDS_REDIS:,} connections"
    if runs == "sharded":
        return "sharded", f"{told}: they are joined by a Redis Cluster already, which serves fewer as well"
    if connections >= NEEDS_CLUSTER * (BACK if before == "sharded" else 1):
        if cluster or (redis.facts is not None and redis.facts.cluster):
            return "sharded", f"{told}, above {NEEDS_CLUSTER:,}, and a Redis Cluster is there"
        if redis.is_limit:
            return "sharded", f"{told}, above {NEEDS_CLUSTER:,}, and one Redis is at its limit: make a Redis Cluster"
        return "pubsub", f"{told}: one Redis is enough as long as it is not at its limit"
    return "pubsub", f"{told}: one Redis is enough below {NEEDS_CLUSTER:,} connections"


def tuned(
    figures: Figures, base: Figures, servers: Sequence[Adapter], memory: float | None, rules: RedisAdapter
) -> list[Change]:
    """What should change.

    Args:
        figures: What is in force, all of it.
        base: What the servers' settings say.
        servers: All that are in service, and none of them missing.
        memory: The share of Redis' memory that is used; None: not known, or without a limit.
        rules: What is asked for.
    """
    after: dict[str, tuple[float, str]] = {}
    if servers and all(server.mode != "single" for server in servers):
        timeout = rules.pinned.get("publish_timeout", base.get("publish_timeout", figures["publish_timeout"]))
        after |= _by_rate(figures, base, servers, timeout)
        after |= _history(figures, base, servers, memory, rules)
        after["batch_window_ms"] = _below(timeout, *after["batch_window_ms"])
    # What no rule is for is as the settings say, unless a person says otherwise.
    for name in ("publish_timeout", "channel_linger", BOTH):
        if name in base and figures[name] != base[name]:
            after[name] = (base[name], "it is not pinned any more")
    after |= {name: (value, "pinned") for name, value in rules.pinned.items()}
    return [
        Change(name, figures[name], _bounded(name, value), why)
        for name, (value, why) in sorted(after.items())
        if _bounded(name, value) != figures[name]
    ]


def _by_rate(
    figures: Figures, base: Figures, servers: Sequence[Adapter], timeout: float
) -> dict[str, tuple[float, str]]:
    total, most = sum(one.published for one in servers), max(one.published for one in servers)
    channels = max(one.channels for one in servers)
    busiest = f"the busiest server publishes {_about(most)}/s"
    window, why = figures["batch_window_ms"], ""
    if total >= WINDOW_FROM:
        wanted = max(base.get("batch_window_ms", 0), min(LONGEST_WINDOW, max(1.0, len(servers) * 1000 / REQUESTS)))
        window = _towards(window, wanted) if window > 0 else wanted
        why = f"{len(servers)} servers publish {_about(total)}/s: {REQUESTS} requests/s together"
    elif total < WINDOW_UNTIL:
        window, why = base.get("batch_window_ms", 0), f"{_about(total)} events/s need no waiting"
    return {
        "publish_batch": (
            _wanted("publish_batch", figures, base, most * BATCH_SECONDS, LARGEST_BATCH),
            f"{busiest}: {BATCH_SECONDS * 1000:.0f} ms of it",
        ),
        "publish_buffer": (
            _wanted("publish_buffer", figures, base, most * timeout * BURST, LARGEST_BUFFER),
            f"{busiest}: {timeout:g} s of {BURST} times that",
        ),
        "subscription_batch": (
            _wanted("subscription_batch", figures, base, channels / REPAIR_REQUESTS, LARGEST_SUBSCRIPTION),
            f"up to {_about(channels)} channels a server, subscribed to again in {REPAIR_REQUESTS} requests",
        ),
        "batch_window_ms": (window, why),
    }


def _history(
    figures: Figures, base: Figures, servers: Sequence[Adapter], memory: float | None, rules: RedisAdapter
) -> dict[str, tuple[float, str]]:
    now = figures["history_events"]
    full = base.get("history_events", now)
    if now > full or (memory is None and rules.redis_secret is None):
        return {"history_events": (full, "as the settings say: nothing stands against it")}
    if memory is None:
        return {}
    told = f"{memory:.0%} of Redis' memory is used"
    least = recovery_needs(servers, rules.recovery_window)
    if memory >= MEMORY_HIGH:
        wanted = _two_digits(max(least, now * MEMORY_AIM / memory))
        return {"history_events": (wanted, told)} if wanted < now else {}
    if memory <= MEMORY_LOW and now < full:
        wanted = _two_digits(min(full, now * min(2.0, MEMORY_AIM / max(memory, 0.01))))
        return {"history_events": (min(wanted, full), told)}
    return {}


def recovery_needs(servers: Sequence[Adapter], window: float) -> int:
    """Events of a room that recovery needs, by an estimate: servers do not tell the rate of single rooms.

    Rooms are at least as many as the fullest server listens to.
    """
    rooms = max((one.channels for one in servers), default=0)
    if rooms == 0:
        return SHORTEST_HISTORY
    return max(SHORTEST_HISTORY, math.ceil(HOT * window * sum(one.published for one in servers) / rooms))


def _wanted(name: str, figures: Figures, base: Figures, wanted: float, most: float) -> float:
    """What a rule asks for, never below what the settings say; what is in force, if that is near enough."""
    least = base.get(name, figures[name])
    return _towards(figures[name], max(least, _two_digits(min(most, wanted))))


def _towards(now: float, wanted: float) -> float:
    return now if now / WORTH < wanted < now * WORTH else wanted


def _below(timeout: float, window: float, why: str) -> tuple[float, str]:
    """Servers refuse a window that is not below the time-out."""
    longest = timeout * 1000 / 2
    return (window, why) if window <= longest else (longest, f"half of publish_timeout, {timeout:g} s")


def _bounded(name: str, value: float) -> float:
    low, high = BOUNDS[name]
    bounded = max(low, min(high, value))
    return bounded if name in ("batch_window_ms", "publish_timeout", "channel_linger") else round(bounded)


def _two_digits(value: float) -> int:
    """Readable, and not above the value by more than rounding up asks for."""
    if value < 100:
        return math.ceil(value)
    scale = int(10 ** (len(str(math.floor(value))) - 2))
    return math.ceil(value / scale) * scale


def _about(value: float) -> str:
    """To two digits: what is said does not change with every look."""
    whole = round(value)
    digits = len(str(whole)) - 2
    return f"{round(whole, -digits) if digits > 0 else whole:,}"


def mode_of(said: Any) -> Mode | None:
    """The mode that a server says of its adapter; None: it says none."""
    mode = said.get("mode") if isinstance(said, dict) else None
    return next((known for known in get_args(Mode) if known == mode), None)


def _list(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _number(value: Any, low: float, high: float) -> float:
    found = number(value, low, high)
    return int(found) if float(found).is_integer() else found


def figures_of(pairs: Mapping[str, Any]) -> dict[str, float]:
    """Figures as they were written down, without what makes no sense."""
    found = {}
    for name, value in pairs.items():
        with contextlib.suppress(ValueError):
            if name in BOUNDS:
                found[name] = number(value, *BOUNDS[name])
    return found

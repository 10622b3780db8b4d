"""Which mode and which settings of the adapter suit a fleet: pure rules, explained in docs/operator.md.

Each rule leaves a setting alone unless the value that it asks for differs by more than noise explains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tradecast_operator.model.adapter_spec import BOUNDS, PUBLISH_BOTH, AdapterSettings, Mode, RedisAdapter
from tradecast_operator.tuning.redis_limits import RedisWatch
from tradecast_operator.tuning.server_adapter import ServerAdapter

# From so many connections on, one server without Redis is too few, and one Redis may be; and the share of them below
# which the recommendation is reversed.
NEEDS_REDIS, NEEDS_CLUSTER = 1_000, 10_000
REVERSED_BELOW = 0.8
# A setting changes when the wanted value differs by this factor.
WORTH: Final = 1.5
# Seconds of publishing in one request, and its most events: Redis executes nothing else meanwhile.
BATCH_SECONDS, LARGEST_BATCH = 0.05, 256
# Events per second of the whole fleet from which servers wait for a batch, and below which they do not.
WINDOW_FROM, WINDOW_UNTIL = 4_000, 2_000
# Requests per second that all servers then send together, and the longest wait for a batch, in milliseconds.
REQUESTS, LONGEST_WINDOW = 2_000, 10
# The publish buffer holds so many times the usual rate, for publish_timeout.
BURST, LARGEST_BUFFER = 2, 200_000
# Requests in which a lost subscription is restored.
REPAIR_REQUESTS, LARGEST_SUBSCRIPTION = 20, 5_000
# Shares of Redis' memory: above the first the history is shortened, below the second it is lengthened again, and both
# aim at the third.
MEMORY_HIGH, MEMORY_LOW, MEMORY_AIM = 0.75, 0.45, 0.6
# A room may have so many times the events of the average one; the history never holds fewer events than this.
HOT, SHORTEST_HISTORY = 10, 100


@dataclass(frozen=True, slots=True)
class Change:
    """Another value for a setting, and why."""

    setting: str
    before: float
    after: float
    why: str

    def __str__(self) -> str:
        return f"{self.setting} {self.before:g} → {self.after:g} ({self.why})"


def recommend_mode(
    rules: RedisAdapter,
    previous: Mode,
    current: Mode,
    connections: int,
    servers: int,
    redis: RedisWatch,
    *,
    cluster: bool = False,
) -> tuple[Mode, str]:
    """Recommend a mode, and say why.

    Args:
        rules: `spec.redisAdapter`.
        previous: The mode that was recommended last.
        current: The mode that the servers are in.
        connections: Of the whole fleet.
        servers: How many there should be.
        redis: What is known of Redis.
        cluster: Whether the servers can reach a Redis Cluster as well.
    """
    if rules.mode != "auto":
        return rules.mode, "the SocketFleet asks for it"
    load = f"{_format_about(connections)} connections, {servers} {'server' if servers == 1 else 'servers'}"
    if servers == 1 and connections < NEEDS_REDIS * (1 if previous == "single" else REVERSED_BELOW):
        return "single", f"{load}: one server needs no Redis below {NEEDS_REDIS:,} connections"
    if current == "sharded":
        return "sharded", f"{load}: they use a Redis Cluster already, which serves fewer connections as well"
    if connections >= NEEDS_CLUSTER * (REVERSED_BELOW if previous == "sharded" else 1):
        if cluster or (redis.facts is not None and redis.facts.cluster):
            return "sharded", f"{load}, above {NEEDS_CLUSTER:,}, and a Redis Cluster is available"
        if redis.is_limit:
            return "sharded", f"{load}, above {NEEDS_CLUSTER:,}, and one Redis is at its limit: set up a Redis Cluster"
        return "pubsub", f"{load}: one Redis is enough until it reaches its limit"
    return "pubsub", f"{load}: one Redis is enough below {NEEDS_CLUSTER:,} connections"


def propose_changes(
    settings: AdapterSettings,
    defaults: AdapterSettings,
    servers: Sequence[ServerAdapter],
    memory: float | None,
    rules: RedisAdapter,
) -> list[Change]:
    """Propose other values for settings.

    Args:
        settings: All settings, as they are in effect.
        defaults: The values from the servers' environment.
        servers: All servers in service, without exception.
        memory: The used share of Redis' memory; None: unknown, or without a limit.
        rules: `spec.redisAdapter`.
    """
    after: dict[str, tuple[float, str]] = {}
    if servers and all(server.mode != "single" for server in servers):
        timeout = rules.pinned.get("publish_timeout", defaults.get("publish_timeout", settings["publish_timeout"]))
        after |= _by_rate(settings, defaults, servers, timeout)
        after |= _propose_history(settings, defaults, servers, memory, rules)
        after["batch_window_ms"] = _keep_below(timeout, *after["batch_window_ms"])
    # Settings without a rule have their default, unless they are pinned.
    for name in ("publish_timeout", "channel_linger", PUBLISH_BOTH):
        if name in defaults and settings[name] != defaults[name]:
            after[name] = (defaults[name], "no longer pinned")
    after |= {name: (value, "pinned") for name, value in rules.pinned.items()}
    return [
        Change(name, settings[name], _bound_value(name, value), why)
        for name, (value, why) in sorted(after.items())
        if _bound_value(name, value) != settings[name]
    ]


def _by_rate(
    settings: AdapterSettings, defaults: AdapterSettings, servers: Sequence[ServerAdapter], timeout: float
) -> dict[str, tuple[float, str]]:
    total, most = sum(one.publish_rate for one in servers), max(one.publish_rate for one in servers)
    channels = max(one.channels for one in servers)
    busiest = f"the busiest server publishes {_format_about(most)}/s"
    window, why = settings["batch_window_ms"], ""
    if total >= WINDOW_FROM:
        wanted = max(defaults.get("batch_window_ms", 0), min(LONGEST_WINDOW, max(1.0, len(servers) * 1000 / REQUESTS)))
        window = _move_towards(window, wanted) if window > 0 else wanted
        why = f"{len(servers)} servers publish {_format_about(total)}/s: {REQUESTS} requests/s in all"
    elif total < WINDOW_UNTIL:
        window, why = defaults.get("batch_window_ms", 0), f"{_format_about(total)} events/s need no batching"
    return {
        "publish_batch": (
            _choose_value("publish_batch", settings, defaults, most * BATCH_SECONDS, LARGEST_BATCH),
            f"{busiest}: {BATCH_SECONDS * 1000:.0f} ms of that",
        ),
        "publish_buffer": (
            _choose_value("publish_buffer", settings, defaults, most * timeout * BURST, LARGEST_BUFFER),
            f"{busiest}: {timeout:g} s at {BURST} times that rate",
        ),
        "subscription_batch": (
            _choose_value("subscription_batch", settings, defaults, channels / REPAIR_REQUESTS, LARGEST_SUBSCRIPTION),
            f"up to {_format_about(channels)} channels per server, subscribed again in {REPAIR_REQUESTS} requests",
        ),
        "batch_window_ms": (window, why),
    }


def _propose_history(
    settings: AdapterSettings,
    defaults: AdapterSettings,
    servers: Sequence[ServerAdapter],
    memory: float | None,
    rules: RedisAdapter,
) -> dict[str, tuple[float, str]]:
    now = settings["history_events"]
    full = defaults.get("history_events", now)
    if now > full or (memory is None and rules.redis_secret is None):
        return {"history_events": (full, "the default: nothing requires less")}
    if memory is None:
        return {}
    used = f"{memory:.0%} of Redis' memory is in use"
    least = estimate_recovery_history(servers, rules.recovery_window)
    if memory >= MEMORY_HIGH:
        wanted = _two_digits(max(least, now * MEMORY_AIM / memory))
        return {"history_events": (wanted, used)} if wanted < now else {}
    if memory <= MEMORY_LOW and now < full:
        wanted = _two_digits(min(full, now * min(2.0, MEMORY_AIM / max(memory, 0.01))))
        return {"history_events": (min(wanted, full), used)}
    return {}


def estimate_recovery_history(servers: Sequence[ServerAdapter], window: float) -> int:
    """Estimate the events of a room that recovery needs: servers do not report the rates of single rooms.

    There are at least as many rooms as the busiest server is subscribed to.
    """
    rooms = max((one.channels for one in servers), default=0)
    if rooms == 0:
        return SHORTEST_HISTORY
    return max(SHORTEST_HISTORY, math.ceil(HOT * window * sum(one.publish_rate for one in servers) / rooms))


def _choose_value(name: str, settings: AdapterSettings, defaults: AdapterSettings, wanted: float, most: float) -> float:
    """The value that a rule asks for, never below the default; the current value, if that is near enough."""
    least = defaults.get(name, settings[name])
    return _move_towards(settings[name], max(least, _two_digits(min(most, wanted))))


def _move_towards(now: float, wanted: float) -> float:
    return now if now / WORTH < wanted < now * WORTH else wanted


def _keep_below(timeout: float, window: float, why: str) -> tuple[float, str]:
    """Limit the window: servers refuse one that is not below the timeout."""
    longest = timeout * 1000 / 2
    return (window, why) if window <= longest else (longest, f"half of publish_timeout, {timeout:g} s")


def _bound_value(name: str, value: float) -> float:
    low, high = BOUNDS[name]
    bounded = max(low, min(high, value))
    return bounded if name in ("batch_window_ms", "publish_timeout", "channel_linger") else round(bounded)


def _two_digits(value: float) -> int:
    """Round up to two digits."""
    if value < 100:
        return math.ceil(value)
    scale = int(10 ** (len(str(math.floor(value))) - 2))
    return math.ceil(value / scale) * scale


def _format_about(value: float) -> str:
    """Round to two digits, so that a message does not change with every observation."""
    whole = round(value)
    digits = len(str(whole)) - 2
    return f"{round(whole, -digits) if digits > 0 else whole:,}"

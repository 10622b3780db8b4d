"""How soon a client that subscribes has the newest quotes, and what a subscription costs Redis."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from delivery.measuring import Plan, finish, loading, started
from delivery.scenarios import OURS
from kit.servers.redis_server import RedisServer
from single.machine import cpu_of, wait_until_quiet

# Seconds in which what Redis takes without subscriptions is read.
IDLE = 3.0
# Clients that subscribe at a time: pages are opened one after the other.
AT_ONCE = 2
# With five symbols each, so many have all two hundred, each once: the server has not seen any of them.
FRESH_CLIENTS = 40


@dataclass
class Snapshots:
    """What came of it.

    Attributes:
        first: Milliseconds from asking for a symbol that the server has never seen to its first quote, by percentile,
            with their count; None: no quote came.
        redis: Processor microseconds of Redis for each subscription to a symbol, beyond what it takes without any.
        server: The same of the server.
    """

    first: dict[str, float] | None = None
    redis: float = 0.0
    server: float = 0.0


def measure_snapshots(plan: Plan, variables: Mapping[str, str], now: Callable[[str], None]) -> Snapshots:
    """Quotes are published through one server; clients subscribe at another one that has just started."""
    found = Snapshots()
    with _redis() as redis:
        settings = {**variables, "REDIS_URL": redis.url}
        with started(OURS, 1, "origin", **settings) as (_, origin, sessions), loading(origin, sessions) as load:
            now("a quote of each symbol is published")
            load.ask("connect", clients=1, symbols=plan.symbols, each=0)
            load.send("run", seconds=3, quotes=plan.symbols, trades=0)
            finish(load)
        now("clients subscribe to what the server has never seen")
        with started(OURS, FRESH_CLIENTS, **settings) as (_, ports, sessions), loading(ports, sessions) as load:
            load.ask("connect", clients=FRESH_CLIENTS, symbols=plan.symbols, each=0)
            found.first = load.ask("subscribe", symbols=plan.symbols, each=plan.each, atOnce=AT_ONCE)["first"]
        now(f"{plan.clients:,} clients subscribe")
        with started(OURS, plan.clients, **settings) as (server, ports, sessions), loading(ports, sessions) as load:
            load.ask("connect", clients=plan.clients, symbols=plan.symbols, each=0)
            wait_until_quiet(server.pid)
            idle, begun = cpu_of(redis.pid), time.monotonic()
            time.sleep(IDLE)
            share = (cpu_of(redis.pid) - idle) / (time.monotonic() - begun)
            before, own, begun = cpu_of(redis.pid), server.cpu, time.monotonic()
            load.ask("subscribe", symbols=plan.symbols, each=plan.each, atOnce=AT_ONCE)
            wait_until_quiet(server.pid)
            used = cpu_of(redis.pid) - before - share * (time.monotonic() - begun)
            subscriptions = plan.clients * plan.each
            found.redis = used * 1e6 / subscriptions
            found.server = (server.cpu - own) * 1e6 / subscriptions
    return found


@contextlib.contextmanager
def _redis() -> Iterator[RedisServer]:
    redis = RedisServer()
    try:
        redis.start_now()
        yield redis
    finally:
        redis.close()

"""What one system costs in a round, and what it loses when a server is killed."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fleet.processes import Worker, staged
from fleet.progress import Progress
from kit.network.balancer import Balancer

SERVERS = 3
STEP = 7919  # as in the publishers: event n goes to room n * STEP % rooms
TAIL = 0.3  # seconds after the last event, until all is done


@dataclass
class Round:
    """One system's figures of one round; microseconds per event, milliseconds of latency, shares of a core.

    Attributes:
        servers: The three servers' together, what they take while nothing flows included: Node collects garbage then.
        servers_idle: What they take of a core while nothing flows.
        lost: Events that did not come, though nothing failed.
        empty: What a server without clients takes for each event that is published.
        empty_idle: What it takes of a core while nothing flows.
        empty_busy: What it takes of a core while events flow.
    """

    servers: float
    servers_idle: float
    redis: float
    redis_idle: float
    publisher: float
    p50: float
    p99: float
    lost: int
    empty: float
    empty_idle: float
    empty_busy: float


@dataclass
class Killed:
    """What one system's clients went through when a server was killed.

    Attributes:
        due: Events that clients had to get.
        lost: Those that never came.
        doubled: Those that came more than once.
        reconnected: Clients that were on that server.
        recovered: Those of them that went on where they were.
    """

    due: int
    lost: int
    doubled: int
    reconnected: int
    recovered: int


@dataclass(frozen=True, slots=True)
class Window:
    """What some processes took in a time.

    Attributes:
        used: Processor seconds, one for each reading.
        seconds: How long it was.
        answer: Of what was done meanwhile.
    """

    used: Sequence[float]
    seconds: float
    answer: dict[str, Any]

    @property
    def shares(self) -> list[float]:
        """Of a core."""
        return [used / self.seconds for used in self.used]

    def over(self, idle: Window) -> list[float]:
        """Processor seconds beyond what was taken in this time while nothing flowed."""
        return [used - share * self.seconds for used, share in zip(self.used, idle.shares, strict=True)]


async def window(read: Callable[[], list[float]], work: Awaitable[dict[str, Any]]) -> Window:
    """Read before and after."""
    before, begun = read(), time.monotonic()
    answer = await work
    await asyncio.sleep(TAIL)
    return Window([b - a for a, b in zip(before, read(), strict=True)], time.monotonic() - begun, answer)


async def nothing(seconds: float) -> dict[str, Any]:
    """Let time pass."""
    await asyncio.sleep(seconds)
    return {}


async def measure(system: str, options: argparse.Namespace, progress: Progress, what: str) -> Round:
    """One system's costs."""
    events, rate, rooms = round(options.rate * options.seconds), options.rate, options.rooms
    flow = {"rate": rate, "rooms": rooms}
    async with staged(system) as stage:
        progress.now(f"{what}: {SERVERS} servers start, {options.clients} clients join {rooms} rooms")
        started = await asyncio.gather(*(stage.server() for _ in range(SERVERS)))
        servers = [worker for worker, _ in started]
        publisher, clients = await stage.publisher(), await stage.clients()
        await clients.ask("connect", ports=[port for _, port in started], clients=options.clients, rooms=rooms)

        def read() -> list[float]:
            return [sum(server.cpu for server in servers), stage.redis_cpu, publisher.cpu]

        progress.now(f"{what}: warming up")
        warm_up = {"first": 0, "count": round(2 * rate * options.warm_up), "rate": 2 * rate, "rooms": rooms}
        await publisher.ask("publish", **warm_up)
        await asyncio.sleep(1)  # what was put off until now
        progress.now(f"{what}: nothing flows")
        idle = await window(read, nothing(options.seconds))
        await clients.ask("report")
        progress.now(f"{what}: {events} events")
        first = 10**6
        busy = await window(read, publisher.ask("publish", first=first, count=events, **flow))
        report = await clients.ask("report")
        arrived = set(report["numbers"])
        delays = sorted(report["delays"])

        progress.now(f"{what}: a server without members")
        empty, _ = await stage.server()
        await publisher.ask("publish", **warm_up)
        await asyncio.sleep(1)
        empty_idle = await window(lambda: [empty.cpu], nothing(options.seconds))
        empty_busy = await window(lambda: [empty.cpu], publisher.ask("publish", first=0, count=events, **flow))
    if failed := busy.answer["failed"]:
        raise SystemExit(f"{system}: {failed} events were not published")
    _, redis_net, publisher_net = (seconds * 1e6 for seconds in busy.over(idle))
    return Round(
        servers=busy.used[0] * 1e6 / len(arrived),
        servers_idle=idle.shares[0],
        redis=redis_net / events,
        redis_idle=idle.shares[1],
        publisher=publisher_net / events,
        p50=delays[len(delays) // 2] / 1e6,
        p99=delays[len(delays) * 99 // 100] / 1e6,
        lost=events - len(arrived),
        empty=empty_busy.over(empty_idle)[0] * 1e6 / events,
        empty_idle=empty_idle.shares[0],
        empty_busy=empty_busy.shares[0],
    )


async def kill(system: str, options: argparse.Namespace, progress: Progress, what: str) -> Killed:
    """One system's losses when a server is killed."""
    rooms = options.crowd * options.rooms_each
    events = round(options.kill_rate * (options.before + options.after))
    async with staged(system) as stage, Balancer() as balancer:
        progress.now(f"{what}: {options.crowd} stock clients join {rooms} rooms")
        servers: dict[str, Worker] = {}
        for number in range(SERVERS):
            worker, port = await stage.server()
            servers[f"s{number}"] = worker
            balancer.servers[f"s{number}"] = port
        publisher, crowd = await stage.publisher(), await stage.crowd()
        await crowd.ask("join", url=balancer.url, clients=options.crowd, each=options.rooms_each)
        before = await crowd.ask("report")
        progress.now(f"{what}: events flow, a server is killed")
        flowing = asyncio.create_task(
            publisher.ask("publish", first=0, count=events, rate=options.kill_rate, rooms=rooms)
        )
        await asyncio.sleep(options.before)
        await servers["s0"].kill()
        dead = f"http://127.0.0.1:{balancer.servers.pop('s0')}"
        reconnected = sum(link.server_url == dead for link in balancer.connections)
        published = await flowing
        progress.now(f"{what}: what is still to come")
        report = await settled(crowd)
    if published["failed"]:
        raise SystemExit(f"{system}: {published['failed']} events were not published")
    due: list[set[int]] = [set() for _ in range(options.crowd)]
    for number in range(events):
        due[number * STEP % rooms // options.rooms_each].add(number)
    return Killed(
        due=events,
        lost=sum(len(wanted.difference(got)) for wanted, got in zip(due, report["got"], strict=True)),
        doubled=sum(sum(Counter(got).values()) - len(set(got)) for got in report["got"]),
        reconnected=max(reconnected, report["connects"] - before["connects"]),
        recovered=report["recovered"],
    )


async def settled(crowd: Worker) -> dict[str, Any]:
    """The crowd's report, once nothing has come for two seconds."""
    report, same = await crowd.ask("report"), 0
    while same < 4:
        await asyncio.sleep(0.5)
        newer = await crowd.ask("report")
        same = same + 1 if newer == report else 0
        report = newer
    return report

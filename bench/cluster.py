"""What a fleet costs and loses: ours against Node's Socket.IO with redis-adapter and with redis-streams-adapter.

Three servers, a third of 5,000 rooms on each, one member in each room; an own redis-server for each measurement. One
process publishes numbered events evenly over time, each to one room, through the system's own emitter; another one
holds all clients, and is the same for all systems. Where we keep a history and offsets, redis-adapter keeps nothing,
and streams-adapter has connection state recovery on. Then:

- events flow, and what servers, Redis and publisher take of the processor is read before and after; for Redis and
  publisher less what they take while nothing flows;
- a fourth server comes, without clients: what it takes while nothing flows, and while events do;
- on another fleet, behind a balancer, stock clients hold rooms while one server is killed (SIGKILL): how many of the
  numbers each client never gets.

Systems take turns, several rounds; the table has medians. Needs Linux, redis-server and Node.js. Load stays on
127.0.0.1. Every figure goes to build/bench-cluster.json, what processes say to build/bench-cluster/.

    make bench-cluster
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import hashlib
import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from kit.network.balancer import Balancer
from kit.processes.parent import end_with_parent
from kit.servers.process import environment
from kit.servers.redis_server import RedisServer

HERE = Path(__file__).parent
NODE = HERE / "node"
BUILD = HERE.parent / "build"
BASE, STREAMS, OURS = "redis-adapter", "streams-adapter", "tradecast"
SYSTEMS = (BASE, STREAMS, OURS)
SERVERS = 3
STEP = 7919  # as in the publishers: event n goes to room n * STEP % rooms
WAIT = 60.0
TAIL = 0.3  # seconds after the last event, until all is done
LIMIT = 2**26
OUR_SETTINGS = {
    "HOST": "127.0.0.1",
    "PORT": "0",
    "ADMIN_HOST": "127.0.0.1",
    "ADMIN_PORT": "0",
    "AUTH_REQUIRED": "false",
    "LOG_LEVEL": "warning",
    # as the Node servers
    "PING_INTERVAL": "25",
    "PING_TIMEOUT": "20",
}
REDIS_BAR = 4.0
# With half of the events later than this, others had the processors: events wait, and are handled many at a time.
BUSY_MS = 20.0
TRIES = 3
# A server without members may take this much of a core more than when nothing flows: what such figures differ by.
NOTHING = 0.005


# -- processes


class Worker:
    """One process of the benchmark, which says when it is ready and then answers each line by one.

    Attributes:
        told: What it said when it was ready.
    """

    def __init__(self, process: asyncio.subprocess.Process, name: str, log: Path) -> None:
        if process.stdout is None or process.stdin is None:
            raise TypeError("a process with pipes")
        self._process = process
        self._lines = process.stdout
        self._orders = process.stdin
        self._name = name
        self._log = log
        self.told: dict[str, Any] = {}

    @property
    def cpu(self) -> float:
        """Processor seconds, of all its threads, so far."""
        return cpu_of(self._process.pid)

    async def answer(self) -> dict[str, Any]:
        """Its next line."""
        async with asyncio.timeout(WAIT):
            line = await self._lines.readline()
        if not line:
            raise SystemExit(f"{self._name} has ended:\n{self._log.read_text(errors='replace')[-2000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    async def ask(self, op: str, **options: Any) -> dict[str, Any]:
        """Have something done."""
        self._orders.write(json.dumps({"op": op, **options}).encode() + b"\n")
        return await self.answer()

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


def cpu_of(pid: int) -> float:
    """Processor seconds of a process, by its own clock: /proc/<pid>/stat has the same in steps of 10 ms."""
    return time.clock_gettime((~pid << 3) | 2)  # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED), Linux


class Stage:
    """One system's processes, and its Redis. All are ended with it."""

    def __init__(self, system: str, stack: contextlib.AsyncExitStack, redis: RedisServer) -> None:
        self.system = system
        self.redis = redis
        self._stack = stack
        self._count = 0

    @property
    def redis_cpu(self) -> float:
        """Processor seconds of Redis so far."""
        return cpu_of(self.redis.pid)

    async def server(self) -> tuple[Worker, int]:
        """One more server, and its port."""
        worker = await self._start("server", self._command("server"))
        return worker, worker.told["port"]

    async def publisher(self) -> Worker:
        """The process that publishes."""
        return await self._start("publisher", self._command("publisher"))

    async def clients(self) -> Worker:
        """The process of the plain clients."""
        return await self._start("clients", _python("clients"))

    async def crowd(self) -> Worker:
        """The process of the stock clients."""
        return await self._start("crowd", self._node("crowd"))

    def _command(self, role: str) -> list[str]:
        return _python(role) if self.system == OURS else self._node(role)

    def _node(self, role: str) -> list[str]:
        return ["node", str(NODE / f"{role}.mjs"), self.system, self.redis.url]

    async def _start(self, name: str, command: Sequence[str]) -> Worker:
        self._count += 1
        log = BUILD / "bench-cluster" / f"{self.system}-{name}-{self._count}.log"
        variables = {**OUR_SETTINGS, "REDIS_URL": self.redis.url} if self.system == OURS else {}
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=environment(**variables),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                limit=LIMIT,
                preexec_fn=end_with_parent,
            )
        worker = Worker(process, f"{self.system}'s {name}", log)
        self._stack.push_async_callback(worker.kill)
        worker.told = await worker.answer()
        return worker


def _python(role: str) -> list[str]:
    return [sys.executable, str(HERE / f"cluster_{role}.py")]


@contextlib.asynccontextmanager
async def staged(system: str) -> AsyncIterator[Stage]:
    """A Redis of one's own, and nothing else yet."""
    async with RedisServer() as redis, contextlib.AsyncExitStack() as stack:
        yield Stage(system, stack, redis)


def install() -> None:
    """Put what package-lock.json names into node_modules, once."""
    if (npm := shutil.which("npm")) is None or shutil.which("node") is None:
        raise SystemExit("Node.js is not installed: install Node.js 18 or later with npm (apt-get install nodejs npm)")
    wanted = hashlib.sha256((NODE / "package-lock.json").read_bytes()).hexdigest()
    stamp = NODE / "node_modules" / ".stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("Installing the Node servers (once) …", flush=True)
    subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=NODE, check=True)  # noqa: S603
    stamp.write_text(wanted)


# -- progress


class Progress:
    """What is being done now, and what has come of it."""

    def __init__(self) -> None:
        self._tty = sys.stdout.isatty()

    def now(self, text: str) -> None:
        """Show what begins."""
        print(f"\r\033[K{text} …" if self._tty else f"{text} …", end="" if self._tty else "\n", flush=True)

    def done(self, text: str) -> None:
        """Show a result."""
        print(f"\r\033[K{text}" if self._tty else text, flush=True)


# -- measuring


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


# -- the outcome


def medians(rounds: Sequence[Round]) -> Round:
    """Of each figure; losses are summed up."""
    columns = {field.name: [getattr(one, field.name) for one in rounds] for field in dataclasses.fields(Round)}
    return Round(**{name: (sum if name == "lost" else statistics.median)(some) for name, some in columns.items()})


def total(kills: Sequence[Killed]) -> Killed:
    return Killed(*(sum(some) for some in zip(*(dataclasses.astuple(one) for one in kills), strict=True)))


def table(figures: Mapping[str, Round], losses: Mapping[str, Killed]) -> str:
    """The figures in columns, with what they are of redis-adapter's."""

    def ratio(value: float, base: float) -> str:
        return f" ({value / base:.2f}×)" if base > 0 else ""

    def costs(name: str) -> list[str]:
        base = getattr(figures[BASE], name) if BASE in figures else 0
        return [f"{getattr(one, name):.1f}{ratio(getattr(one, name), base)}" for one in figures.values()]

    def shares(name: str) -> list[str]:
        return [f"{getattr(one, name):.2%}" for one in figures.values()]

    rows = [
        ["", *figures],
        ["CPU of all servers, µs per delivered event", *costs("servers")],
        ["  while nothing flows, of a core", *shares("servers_idle")],
        ["CPU of a server without members, µs per event", *(f"{one.empty:.1f}" for one in figures.values())],
        ["  while nothing flows, of a core", *shares("empty_idle")],
        ["  while events flow, of a core", *shares("empty_busy")],
        ["CPU of Redis, µs per event", *costs("redis")],
        ["CPU of the publisher, µs per event", *costs("publisher")],
        ["latency p50, ms", *costs("p50")],
        ["latency p99, ms", *costs("p99")],
        ["lost while nothing fails", *(str(one.lost) for one in figures.values())],
    ]
    if losses:
        rows += [
            ["lost when a server is killed", *(f"{one.lost} of {one.due}" for one in losses.values())],
            ["  came twice", *(str(one.doubled) for one in losses.values())],
            ["  clients that went on", *(f"{one.recovered} of {one.reconnected}" for one in losses.values())],
        ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join(lines)


def verdicts(figures: Mapping[str, Round], losses: Mapping[str, Killed]) -> list[tuple[bool, str]]:
    """What ours is held to, and whether it holds."""
    if OURS not in figures:
        return []
    ours = figures[OURS]
    more = ours.empty_busy - ours.empty_idle
    found = [(more < NOTHING, f"a server without members takes nothing for events: {more:+.2%} of a core")]
    if BASE in figures:
        ratio = ours.redis / figures[BASE].redis
        found.append(
            (ratio <= REDIS_BAR, f"Redis takes at most {REDIS_BAR:g} times what redis-adapter's does: {ratio:.2f}")
        )
    lost = ours.lost + (losses[OURS].lost if losses else 0)
    found.append((lost == 0, f"no event is lost: {lost}"))
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="of each reading")
    parser.add_argument("--warm-up", type=float, default=5, help="seconds, at twice the rate: V8 compiles meanwhile")
    parser.add_argument("--rate", type=float, default=1000, help="events per second")
    parser.add_argument("--rooms", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=300, help="a multiple of three")
    parser.add_argument("--kills", type=int, default=1, help="how often a server is killed, for each system")
    parser.add_argument("--kill-rate", type=float, default=300, help="events per second meanwhile")
    parser.add_argument("--crowd", type=int, default=60, help="stock clients")
    parser.add_argument("--rooms-each", type=int, default=10)
    parser.add_argument("--before", type=float, default=3, help="seconds of events before a server is killed")
    parser.add_argument("--after", type=float, default=7, help="and afterwards")
    return parser.parse_args()


async def main() -> int:
    """Measure; 1 if something does not hold."""
    options = arguments()
    await asyncio.to_thread(install)
    (BUILD / "bench-cluster").mkdir(parents=True, exist_ok=True)
    progress = Progress()
    rounds: dict[str, list[Round]] = {system: [] for system in options.systems}
    kills: dict[str, list[Killed]] = {system: [] for system in options.systems}
    for number in range(1, options.rounds + 1):
        for system in options.systems:
            what = f"round {number} of {options.rounds}: {system}"
            for _ in range(TRIES):
                found = await measure(system, options, progress, what)
                if found.p50 < BUSY_MS:
                    break
                progress.done(f"{what}: p50 {found.p50:.0f} ms, the machine was busy with something else")
            rounds[system].append(found)
            progress.done(
                f"{what}: servers {found.servers:.1f} µs, Redis {found.redis:.1f} µs, "
                f"without members {found.empty:.1f} µs, p50 {found.p50:.2f} ms, p99 {found.p99:.2f} ms, "
                f"lost {found.lost}"
            )
    for number in range(1, options.kills + 1):
        for system in options.systems:
            what = f"kill {number} of {options.kills}: {system}"
            killed = await kill(system, options, progress, what)
            kills[system].append(killed)
            progress.done(
                f"{what}: lost {killed.lost} of {killed.due}, twice {killed.doubled}, "
                f"{killed.recovered} of {killed.reconnected} clients went on"
            )
    figures = {system: medians(some) for system, some in rounds.items() if some}
    losses = {system: total(some) for system, some in kills.items() if some}
    report = {
        "options": vars(options),
        "rounds": {system: list(map(dataclasses.asdict, some)) for system, some in rounds.items()},
        "kills": {system: list(map(dataclasses.asdict, some)) for system, some in kills.items()},
        "medians": {system: dataclasses.asdict(one) for system, one in figures.items()},
    }
    (BUILD / "bench-cluster.json").write_text(json.dumps(report, indent=2) + "\n")
    print()
    if figures:
        print(table(figures, losses))
    held = verdicts(figures, losses)
    for fine, text in held:
        print(f"{'holds' if fine else 'DOES NOT HOLD'}: {text}")
    return 0 if all(fine for fine, _ in held) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

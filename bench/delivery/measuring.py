"""One server with its clients, measured."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delivery.scenarios import OURS, TRADECAST, Scenario, command
from single.machine import LOAD_CORE, SERVER_CORE, wait_until_quiet
from single.servers import TARGET, compile_crate
from single.worker import Worker

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "bench-delivery"
TAPE, PORTFOLIO = BUILD / "tape", BUILD / "portfolio.json"
PAGE = 4096
PORTFOLIOS = {"count": 40, "everyMs": 250}


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    Attributes:
        clients: How many.
        symbols: How many there are.
        each: How many of them a client watches.
        rate: Quotes a second of each symbol.
        trades: Trades a second, of all clients together.
        seconds: Of a long run.
        short: Seconds of a short one.
        bucket: Seconds of a point in a plot.
        warm: Seconds that do not count.
    """

    clients: int = 1_000
    symbols: int = 200
    each: int = 5
    rate: int = 10
    trades: int = 500
    seconds: float = 300.0
    short: float = 20.0
    bucket: float = 5.0
    warm: float = 5.0


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        load: What the load generator counted (`bench/delivery/load`).
        cpu: Processor seconds of the server, from the start of the run until it was quiet.
        server: The part of a core that the server took during the run.
        load_cpu: The part of a core that the load generator took.
        over_time: A point for each second: seconds, bytes of the process (PSS), bytes in the kernel's sockets, packets
            received.
    """

    load: dict[str, Any] = field(default_factory=dict)
    cpu: float = 0.0
    server: float = 0.0
    load_cpu: float = 0.0
    over_time: list[tuple[float, int, int, int]] = field(default_factory=list)


def build() -> None:
    """Build the load generator."""
    compile_crate(HERE / "load")


@contextlib.contextmanager
def started(peer: str, count: int, name: str = "", **variables: str) -> Iterator[tuple[Worker, dict[str, Any], Path]]:
    """A server with sessions for `count` clients: its process, its ports, and the file with the sessions."""
    name = name or peer
    sessions = BUILD / f"{name}.sessions"
    sessions.write_text("".join(f"session-{n:024} user-{n:06}\n" for n in range(count)))
    env = {**TRADECAST, **variables} if peer == OURS else {"NODE_ENV": "production", **variables}
    log = BUILD / f"{name}.log"
    with Worker(name, command(peer, PORTFOLIO, sessions, count), core=SERVER_CORE, log=log, variables=env) as worker:
        yield worker, worker.answer(), sessions


@contextlib.contextmanager
def loading(ports: dict[str, Any], sessions: Path) -> Iterator[Worker]:
    """The load generator, connected to a server's feed."""
    command = [
        str(TARGET / "release" / "delivery-load"),
        str(ports["port"]),
        str(ports["feed"]),
        str(sessions),
        str(TAPE),
    ]
    with Worker("load", command, core=LOAD_CORE, log=BUILD / "load.log") as load:
        load.answer()
        yield load


def finish(load: Worker) -> dict[str, Any]:
    """Wait for the end of a run, and leave its progress out."""
    while "progress" in (answer := load.answer()):
        pass
    return answer


def measure(scenario: Scenario, plan: Plan, now: Callable[[str], None]) -> Outcome:
    """Start a server and its clients, and measure.

    Args:
        scenario: What of.
        plan: How much.
        now: Told what begins.
    """
    found = Outcome()
    now("starting")
    with (
        started(scenario.peer, plan.clients, **scenario.variables) as (server, ports, sessions),
        loading(ports, sessions) as load,
    ):
        now(f"{plan.clients:,} clients connect")
        load.ask(
            "connect",
            clients=plan.clients,
            slow=round(plan.clients * scenario.slow),
            deltas=round(plan.clients * scenario.deltas),
            compressed=scenario.compressed,
            symbols=plan.symbols,
            each=plan.each,
        )
        wait_until_quiet(server.pid)
        sockets = socket_memory()
        cpu, load_cpu, begun = server.cpu, load.cpu, time.monotonic()
        if scenario.portfolios:
            now("portfolios")
            found.load = load.ask("portfolios", **PORTFOLIOS)
        else:
            seconds = plan.seconds + scenario.fill if scenario.is_long else plan.short
            run = {"seconds": seconds, "warm": min(plan.warm, seconds / 4), "bucket": plan.bucket}
            load.send("run", quotes=plan.rate * plan.symbols, trades=plan.trades, **run)
            while "progress" in (answer := load.answer()):
                passed, packets = answer["progress"], answer["packets"]
                if not answer["ended"]:
                    found.over_time.append((passed, server.memory, socket_memory() - sockets, packets))
                found.server = (server.cpu - cpu) / (time.monotonic() - begun)
                now(f"{passed:.0f} of {seconds:.0f} s, {packets / 1e6:.2f} million events received")
            found.load = answer
        found.load_cpu = (load.cpu - load_cpu) / (time.monotonic() - begun)
        if scenario.portfolios:
            found.server = (server.cpu - cpu) / (time.monotonic() - begun)
        wait_until_quiet(server.pid)
        found.cpu = server.cpu - cpu
    return found


def socket_memory() -> int:
    """Bytes that the kernel holds for the TCP sockets of this machine."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            words = line.split()
            return int(words[words.index("mem") + 1]) * PAGE
    raise RuntimeError("sockstat does not name TCP")

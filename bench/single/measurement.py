"""One server, measured at one number of connections."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from single.machine import LOAD_CORE, wait_until_quiet
from single.servers import BUILD, TARGET, started
from single.worker import Worker

AT_ONCE = 200
ECHOES = 5
# Few, so that what they leave in memory is little against what is measured.
WARM_UP = 50
PACED = {"ticks": 20, "perTick": 1}
TEN = {"ticks": 3, "perTick": 10}


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        connections: How many.
        whole: Whether broadcasts and disconnections are measured too; memory needs neither.
    """

    connections: int
    whole: bool = True


@dataclass
class Measurement:
    """What came of it.

    Attributes:
        cpu: Microseconds of the server for one connection, echo, subscription, recipient, disconnection.
        latency: Milliseconds by phase and percentile.
        memory: Bytes per connection after connecting, an echo, a subscription.
        load: The part of a core that the load generator took while a phase ran.
        server: The same of the server.
        seconds: How long a phase took.
    """

    cpu: dict[str, float] = field(default_factory=dict)
    latency: dict[str, dict[str, float]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    load: dict[str, float] = field(default_factory=dict)
    server: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Run:
    """A server and a load generator, and the phases that they go through."""

    def __init__(self, server: Worker, load: Worker, now: Callable[[str], None]) -> None:
        self._server = server
        self._load = load
        self._now = now
        self.found = Measurement()

    def measure(self, plan: Plan) -> None:
        """All phases."""
        count = plan.connections
        self._warm_up()
        before = self._server.memory
        self._phase("connect", count, "connect", clients=count)
        self._memory("connected", before, count)
        self._phase("first echo", count, "echo")
        self._memory("echoed", before, count)
        self._phase("echo", count * (ECHOES - 1), *["echo"] * (ECHOES - 1))
        self._phase("subscribe", count, "subscribe")
        self._memory("subscribed", before, count)
        if not plan.whole:
            return
        every = max(50, count // 20)
        for name, ticks in (("paced", PACED), ("ten a tick", TEN)):
            recipients = count * ticks["ticks"] * ticks["perTick"]
            self._phase(name, recipients, "broadcast", everyMs=every, **ticks)
        self._phase("disconnect", count, "disconnect")

    def _warm_up(self) -> None:
        self._now("warming up")
        self._load.ask("connect", clients=WARM_UP)
        self._load.ask("echo")
        self._load.ask("subscribe")
        self._load.ask("broadcast", ticks=5, perTick=1, everyMs=10)
        self._load.ask("disconnect")
        wait_until_quiet(self._server.pid)

    def _phase(self, name: str, count: int, *ops: str, **options: Any) -> None:
        """Have it done, and divide what the server took until it was quiet again by `count`."""
        self._now(name)
        server, load, begun = self._server.cpu, self._load.cpu, time.monotonic()
        answers = [self._load.ask(op, **options) for op in ops]
        seconds = time.monotonic() - begun
        self.found.load[name] = (self._load.cpu - load) / seconds
        self.found.server[name] = (self._server.cpu - server) / seconds
        self.found.seconds[name] = seconds
        wait_until_quiet(self._server.pid)
        if (done := sum(answer["count"] for answer in answers)) != count:
            raise SystemExit(f"{name}: {done} were done of {count}")
        self.found.cpu[name] = (self._server.cpu - server) * 1e6 / count
        self.found.latency[name] = answers[-1]["ms"]

    def _memory(self, name: str, before: int, count: int) -> None:
        self.found.memory[name] = (self._server.memory - before) / count


def measure(name: str, plan: Plan, now: Callable[[str], None]) -> Measurement:
    """Start a server and the load, and measure.

    Args:
        name: The server.
        plan: What of it.
        now: Told what begins.
    """
    now("starting")
    with started(name, plan.connections) as (server, port, sessions):
        command = [str(TARGET / "release" / "load"), str(port), str(sessions), str(AT_ONCE)]
        with Worker("load", command, core=LOAD_CORE, log=BUILD / "load.log") as load:
            load.answer()
            run = Run(server, load, now)
            run.measure(plan)
    return run.found

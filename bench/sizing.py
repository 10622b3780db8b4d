"""How many clients a server holds: its memory and processor time on this machine, by number of connections.

A real server (`tradecast serve`) with the chart's settings, a real Redis with its sessions, and the clients of
`tradecast load`, each in a process of its own. A client watches five of fifty symbols and is subscribed to its trades;
quotes are published so that a client gets one a second. Prints the table of docs/sizing.md, on Linux, in five minutes:
`PYTHONPATH=bench:tests python -m sizing`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.processes.usage import read_most_memory, read_processor_seconds
from kit.servers.process import environment
from kit.servers.redis_server import RedisServer
from kit.servers.serve_service import ServeService

ROOT = Path(__file__).parents[1]
SETTINGS = ROOT / "k8s" / "base" / "settings.env"
COUNTS = (0, 1000, 2000, 5000, 10_000)
CONNECT_RATE = 150
SYMBOLS, WATCHED = 50, 5
PER_CLIENT = 1  # quotes a second
QUOTES = 0.8  # of the events that `tradecast load` publishes
FEED_STARTS = 15
EDGE = 2  # readings that are left out at both ends: not all is published then
SECONDS = 20
MEBIBYTE = 1 << 20
DELIVERIES = "tradecast_event_deliveries_total"
# What the kernel keeps of a WebSocket; it counts to a container's memory, and is no part of the process.
SLABS = ("TCP", "TCPv6", "sock_inode_cache", "filp", "dentry", "eventpoll_epi")
HEAD = (
    "clients",
    "memory (MiB)",
    "KiB per client",
    "kernel, KiB per client",
    "ms of CPU to connect one",
    "cores",
    "events per second",
    "µs of CPU per event",
    "events lost",
    "p99 (ms)",
)


@dataclass
class Readings:
    """What one number of clients cost.

    Attributes:
        clients: How many.
        memory: Most bytes of the server's process, while all were connected.
        kernel: Bytes of what the kernel keeps of their connections.
        connecting: Its processor seconds from the start until all were connected and subscribed.
        samples: Times, processor seconds and events delivered, while all were connected.
    """

    clients: int
    memory: float = 0
    kernel: float = 0
    connecting: float = 0
    samples: list[tuple[float, float, float]] = field(default_factory=list)

    def rates(self) -> tuple[float, float]:
        """Processor seconds and events per second, while events flowed."""
        (begin, used_before, before), (end, used, delivered) = self.samples[EDGE], self.samples[-1 - EDGE]
        return (used - used_before) / (end - begin), (delivered - before) / (end - begin)


def chart_settings() -> dict[str, str]:
    """What the chart sets, but for ports."""
    lines = SETTINGS.read_text(encoding="utf-8").splitlines()
    pairs = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: value for name, value in pairs.items() if name != "INTERNAL_PORT"}


def kernel_bytes() -> float:
    """What the kernel's objects of sockets take on this machine now; 0 if it does not tell."""
    try:
        lines = Path("/proc/slabinfo").read_text(encoding="utf-8").splitlines()
    except PermissionError:
        return 0.0
    found = (re.match(r"(\S+)\s+(\d+)\s+\d+\s+(\d+)", line) for line in lines)
    return float(sum(int(one[2]) * int(one[3]) for one in found if one and one[1] in SLABS))


async def start_crowd(clients: int, url: str, redis_url: str) -> asyncio.subprocess.Process:
    """So many clients in a process of their own, which publishes the events."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tradecast", "load", "--publish=redis", f"--url={url}", "--json"),
        *(f"--clients={clients}", f"--connect-rate={CONNECT_RATE}", f"--duration={SECONDS}"),
        *(f"--symbols={SYMBOLS}", f"--symbols-per-client={WATCHED}"),
        f"--rate={PER_CLIENT * SYMBOLS / WATCHED / QUOTES}",
        env=environment(REDIS_URL=redis_url, SESSION_STORE="redis"),
        stdout=asyncio.subprocess.PIPE,
    )


async def measure(clients: int) -> tuple[Readings, dict[str, Any]]:
    """Let so many clients connect to a new server: an allocator keeps what it once had."""
    print(f"{clients:,} clients …", file=sys.stderr, flush=True)
    redis = RedisServer()
    await redis.start()
    server = ServeService(**chart_settings(), REDIS_URL=redis.url)
    try:
        await server.start()
        readings = Readings(clients)
        if not clients:
            await _read(server, readings)
            return readings, {}
        kernel = kernel_bytes()
        before = (await _metrics(server))["tradecast_cpu_seconds_total"]
        crowd = await start_crowd(clients, server.url, redis.url)
        output = asyncio.create_task(crowd.communicate())
        while not output.done():
            await _read(server, readings)
            if readings.samples and not readings.connecting:
                readings.connecting = readings.samples[0][1] - before
                readings.kernel = (kernel_bytes() - kernel) / 2  # a client's end costs as much
            await asyncio.wait([output], timeout=1)
        report = json.loads((await output)[0].decode().strip().splitlines()[-1])
        if len(readings.samples) <= 2 * EDGE:
            raise SystemExit(f"not all clients were connected for long enough: {report}")
        return readings, report
    finally:
        await asyncio.to_thread(server.close)
        await asyncio.to_thread(redis.close)


async def measure_feed() -> tuple[float, float]:
    """Most memory of the demo's feed, and its processor time per second, once its prices are loaded."""
    print("the feed …", file=sys.stderr, flush=True)
    redis = RedisServer()
    await redis.start()
    ports = {"ADMIN_HOST": "127.0.0.1", "ADMIN_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tradecast", "feed"),
        env=environment(REDIS_URL=redis.url, **ports),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.sleep(FEED_STARTS)
        before = read_processor_seconds(process.pid)
        await asyncio.sleep(SECONDS)
        return read_most_memory(process.pid), (read_processor_seconds(process.pid) - before) / SECONDS
    finally:
        process.terminate()
        await process.wait()
        await asyncio.to_thread(redis.close)


async def _metrics(server: ServeService) -> dict[str, float]:
    return await asyncio.to_thread(server.read_metrics)


async def _read(server: ServeService, readings: Readings) -> None:
    found = await _metrics(server)
    if found.get("tradecast_connections", 0) == readings.clients:
        delivered = sum(value for name, value in found.items() if name.startswith(DELIVERIES))
        readings.samples.append((time.monotonic(), found["tradecast_cpu_seconds_total"], delivered))
        readings.memory = max(readings.memory, found["tradecast_memory_rss_bytes"])


def row(readings: Readings, report: dict[str, Any], empty: float) -> str:
    """A line of the table."""
    memory, clients = f"{readings.memory / MEBIBYTE:.0f}", readings.clients
    if not clients:
        return f"| 0 | {memory} | {'– | ' * 8}".rstrip()
    cores, events = readings.rates()
    values = (
        f"{clients:,}",
        memory,
        f"{(readings.memory - empty) / clients / 1024:.1f}",
        f"{readings.kernel / clients / 1024:.1f}",
        f"{1000 * readings.connecting / clients:.2f}",
        f"{cores:.2f}",
        f"{events:,.0f}",
        f"{1e6 * cores / events:.0f}",
        str(report["losses"]),
        f"{report['delivery_ms']['p99']:.0f}",
    )
    return f"| {' | '.join(values)} |"


async def main() -> int:
    """Measure, and print the table, for the numbers of clients that are given or for all."""
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    empty = 0.0
    counts = [int(count) for count in sys.argv[1:]] or COUNTS
    for clients in sorted({0, *counts}):
        readings, report = await measure(clients)
        empty = empty or readings.memory
        print(row(readings, report, empty), flush=True)
    memory, cores = await measure_feed()
    print(f"\nThe feed: {memory / MEBIBYTE:.0f} MiB, {cores:.2f} cores")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""Metrics of this process: its event loop, memory, CPU and log lines, and what runs here."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from prometheus_client.core import CounterMetricFamily, InfoMetricFamily, Metric

from tradecast.observability.metrics.registry import LiveMetrics, MetricsRegistry, create_gauge_family
from tradecast.observability.process_stats import CpuMeter, read_limits, read_memory

LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_MB = 1024 * 1024


class Sampled(Protocol):
    """Metrics whose rates are computed from samples."""

    def sample(self) -> None:
        """Note the totals as they are now. Called at least every second."""
        ...


class ProcessMetrics(LiveMetrics):
    """Metrics of this process.

    Args:
        registry: Where they are read.
        version: Of the server, for `tradecast_build_info`.
        sampled: Sampled together with the CPU.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        registry: MetricsRegistry,
        version: str = "",
        sampled: Sequence[Sampled] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._version = version
        self._sampled = sampled
        self._clock = clock
        self._started = clock()
        self._cpu = CpuMeter(clock)
        self._lag = registry.histogram("event_loop_lag_seconds", "How late the event loop was", LAG_SECONDS)
        self._lines_left_out = registry.counter(
            "log_lines_left_out", "Log lines not written because clients caused too many"
        )
        registry.register(self)

    def loop_lag(self, seconds: float) -> None:
        """The event loop was so late. Called twice a second, so what is sampled is sampled here too."""
        self._lag.observe(seconds)
        self._cpu.sample()
        for one in self._sampled:
            one.sample()

    def log_line_left_out(self) -> None:
        """A line that a client caused was not written, since there were many of its kind."""
        self._lines_left_out.inc()

    def resources(self) -> dict[str, Any]:
        """Memory, CPU and uptime as `/metrics` has them in JSON."""
        memory = read_memory()
        return {
            "memory": {
                "heapUsed": format_megabytes(memory.heap_used),
                "heapTotal": format_megabytes(memory.heap_total),
                "rss": format_megabytes(memory.rss),
            },
            "cpu": round(100 * self._cpu.cores() / read_limits().cpus, 1),
            "uptime": round(self._clock() - self._started, 3),
        }

    def collect(self) -> Iterator[Metric]:
        """The process as it is now."""
        memory, limits = read_memory(), read_limits()
        for name, meaning, value in (
            ("memory_heap_used_bytes", "Anonymous memory in RAM (RssAnon)", memory.heap_used),
            ("memory_heap_size_bytes", "Private writable memory (VmData)", memory.heap_total),
            ("memory_rss_bytes", "Memory in RAM (VmRSS)", memory.rss),
            ("memory_limit_bytes", "Memory that the process may use", limits.memory),
            ("cpu_limit_cores", "Cores that the process may use", limits.cpus),
            ("cpu_usage_ratio", "Share of its cores that the process used lately", self._cpu.cores() / limits.cpus),
            ("uptime_seconds", "Time since the start", self._clock() - self._started),
        ):
            yield create_gauge_family(name, meaning, value)
        yield CounterMetricFamily("tradecast_cpu_seconds", "CPU time of the process", value=time.process_time())
        build = {"version": self._version, "python": platform.python_version()}
        yield InfoMetricFamily("tradecast_build", "What runs here", value=build)


def format_megabytes(count: int) -> str:
    """Bytes as `/metrics` has them in JSON: `45.2 MB`, of 1,048,576 bytes each."""
    return f"{count / _MB:.1f} MB"

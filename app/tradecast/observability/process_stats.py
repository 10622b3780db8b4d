"""What this process uses, and what it may: memory and CPU, from /proc and from its control group."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
# cgroup v1 says 2^63 rounded down to a page where there is no limit.
_UNLIMITED = 1 << 60
_WINDOW = 60.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes.

    Attributes:
        heap_used: RssAnon: anonymous memory in RAM; what Python objects and buffers take.
        heap_total: VmData: all private writable memory that was asked for, in RAM or not yet.
        rss: VmRSS: all that is in RAM, libraries included.
    """

    heap_used: int
    heap_total: int
    rss: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process may use.

    Attributes:
        memory: Bytes: the smallest limit of its control groups, or the host's memory; 0 where neither is known.
        cpus: Cores: the smallest quota of its control groups, or the cores that it may run on.
    """

    memory: int
    cpus: float


def read_memory(root: Path = ROOT) -> Memory:
    """From /proc/self/status; where there is none, the largest resident size so far stands for all three."""
    try:
        text = (root / "proc/self/status").read_text()
    except OSError:
        peak = _peak_rss()
        return Memory(peak, peak, peak)
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key in ("RssAnon", "VmData", "VmRSS"):
            found[key] = int(value.split()[0]) * 1024
    rss = found.get("VmRSS", 0)
    return Memory(found.get("RssAnon", rss), found.get("VmData", rss), rss)


def _peak_rss() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def read_limits(root: Path = ROOT) -> Limits:
    """From the control groups, v2 (memory.max, cpu.max) or v1 (memory.limit_in_bytes, cpu.cfs_quota_us), else the host.

    The groups above count as well, as far as they can be seen from here; the smallest limit is the one that holds.
    """
    memories = [value for folder in _find_groups(root, "memory") if (value := _memory_limit(folder)) is not None]
    quotas = [quota for folder in _find_groups(root, "cpu") if (quota := _cpu_limit(folder)) is not None]
    host = _host_memory(root)
    memory = min([*memories, *([host] if host else [])], default=0)
    return Limits(memory, min([*quotas, float(_count_cores())]))


def _find_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups that this process is in, for a controller, from the innermost on."""
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            base = mount if (mount / "cgroup.controllers").exists() else mount / "unified"
        elif controller in names.split(","):
            base = next((mount / name for name in (names, controller) if (mount / name).is_dir()), mount / controller)
        else:
            continue
        # In a container the path may be the host's, while the mount shows the container's group as its root.
        inner = base / path.strip("/")
        folder = inner if inner.is_dir() and ".." not in path else base
        while True:
            yield folder
            if folder == base or base not in folder.parents:
                break
            folder = folder.parent


def _memory_limit(folder: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = _read_file(folder / name)
        if text.isdigit() and int(text) < _UNLIMITED:
            return int(text)
    return None


def _cpu_limit(folder: Path) -> float | None:
    quota, _, period = _read_file(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read_file(folder / "cpu.cfs_quota_us"), _read_file(folder / "cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
        return int(quota) / int(period)
    return None


def _read_file(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _host_memory(root: Path) -> int:
    for line in _read_file(root / "proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        if key == "MemTotal":
            return int(value.split()[0]) * 1024
    return 0


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class CpuMeter:
    """CPU use over about the last minute.

    Args:
        clock: Seconds that never go back.
        cpu: CPU seconds of the process so far.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.process_time
    ) -> None:
        self._clock = clock
        self._cpu = cpu
        self._samples: deque[tuple[float, float]] = deque([(clock(), cpu())])

    def sample(self) -> None:
        """Note what has been used; to be called at least every second or so, or the minute is a longer time."""
        self.cores()

    def cores(self) -> float:
        """CPU seconds per second since the sample that is at least a minute old, or the start."""
        now, used = self._clock(), self._cpu()
        while len(self._samples) > 1 and self._samples[1][0] <= now - _WINDOW:
            self._samples.popleft()
        then, before = self._samples[0]
        if now - self._samples[-1][0] >= 1:  # however often it is asked, at most 60 samples are kept
            self._samples.append((now, used))
        return max(0.0, (used - before) / (now - then)) if now > then else 0.0

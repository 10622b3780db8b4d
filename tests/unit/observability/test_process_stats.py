from __future__ import annotations

import os
from pathlib import Path

import pytest

from tradecast.observability.process_stats import CpuMeter, Limits, read_limits, read_memory

CORES = float(len(os.sched_getaffinity(0)))
GB = 1 << 30


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": "MemTotal: 8388608 kB\nMemFree: 1 kB\n", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_memory(tmp_path: Path) -> None:
    status = "Name:\tpython\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\nVmData:\t    4096 kB\n"
    memory = read_memory(write(tmp_path, {"proc/self/status": status}))
    assert (memory.heap_used, memory.heap_total, memory.rss) == (1 << 20, 4 << 20, 2 << 20)


def test_memory_without_proc(tmp_path: Path) -> None:
    memory = read_memory(tmp_path)
    assert memory.rss == memory.heap_used == memory.heap_total > 1 << 20


@pytest.mark.serial
def test_memory_of_this_process() -> None:
    before = read_memory()
    block = bytearray(64 << 20)
    after = read_memory()
    assert len(block) == 64 << 20
    assert after.rss - before.rss > 32 << 20
    assert after.heap_used - before.heap_used > 32 << 20


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, Limits(8 * GB, CORES), id="no control groups"),
        pytest.param(
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/cgroup.controllers": "cpu memory",
                "sys/fs/cgroup/memory.max": f"{GB}\n",
                "sys/fs/cgroup/cpu.max": "25000 100000\n",
            },
            Limits(GB, 0.25),
            id="v2 in a container",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/kubepods/pod1/c1\n",
                "sys/fs/cgroup/cgroup.controllers": "cpu memory",
                "sys/fs/cgroup/kubepods/pod1/c1/memory.max": "max\n",
                "sys/fs/cgroup/kubepods/pod1/c1/cpu.max": "max 100000\n",
                "sys/fs/cgroup/kubepods/pod1/memory.max": f"{2 * GB}\n",
                "sys/fs/cgroup/kubepods/cpu.max": "10000 100000\n",
            },
            Limits(2 * GB, 0.1),
            id="v2, limits of the groups above",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/cgroup.controllers": "cpu memory",
                "sys/fs/cgroup/memory.max": "max\n",
                "sys/fs/cgroup/cpu.max": "max 100000\n",
            },
            Limits(8 * GB, CORES),
            id="v2 without limits",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GB}\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            Limits(GB, 0.5),
            id="v1 in a container: the mount is the group",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:memory:/a/b\n2:cpu:/a\n",
                "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{3 * GB}\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            },
            Limits(3 * GB, CORES),
            id="v1, unlimited inside",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/cgroup.controllers": "",
                "sys/fs/cgroup/memory.max": f"{100 * GB}\n",
                "sys/fs/cgroup/cpu.max": "100000000 100000\n",
            },
            Limits(8 * GB, CORES),
            id="more than the host has",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "what\n::::\n0::/../../etc\n",
                "sys/fs/cgroup/cgroup.controllers": "",
                "sys/fs/cgroup/memory.max": "what\n",
                "sys/fs/cgroup/cpu.max": "0 0\n",
            },
            Limits(8 * GB, CORES),
            id="nonsense",
        ),
    ],
)
def test_limits(tmp_path: Path, files: dict[str, str], expected: Limits) -> None:
    assert read_limits(write(tmp_path, files)) == expected


def test_nothing_known(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits(0, CORES)


def test_cpu_over_the_last_minute() -> None:
    now, used = 100.0, 5.0
    meter = CpuMeter(lambda: now, lambda: used)
    assert meter.cores() == 0
    now, used = 110.0, 10.0
    assert meter.cores() == 0.5
    for _ in range(200):
        now, used = now + 0.5, used + 0.1
        meter.cores()
    assert meter.cores() == pytest.approx(0.2, abs=0.01)
    assert len(meter._samples) <= 62
    now += 600
    assert meter.cores() < 0.01

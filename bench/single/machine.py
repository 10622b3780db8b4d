"""What the kernel tells of processes, and where they run. Linux."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kit.processes.parent import end_with_parent

SERVER_CORE = 0
LOAD_CORE = 1
FILES_NEEDED = 12_000
NICE = -10
# A process that takes less of a core than this, twice in a row, has done what it had to do.
QUIET = 0.04
QUIET_WINDOW = 0.2
QUIET_WITHIN = 10.0


def check() -> None:
    """End with a sentence where this machine cannot run the benchmark."""
    if sys.platform != "linux":
        raise SystemExit("The benchmark reads /proc: it needs Linux.")
    cores = os.sched_getaffinity(0)
    if not {SERVER_CORE, LOAD_CORE} <= cores:
        raise SystemExit(f"The benchmark needs cores {SERVER_CORE} and {LOAD_CORE}: server on one, load on the other.")
    if (hard := resource.getrlimit(resource.RLIMIT_NOFILE)[1]) != resource.RLIM_INFINITY and hard < FILES_NEEDED:
        raise SystemExit(f"The benchmark needs {FILES_NEEDED} open files a process (ulimit -Hn says {hard}).")


def pinned(core: int) -> Callable[[], None]:
    """For `preexec_fn`: run on one core, with as many files as are allowed, and end with the benchmark."""

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        end_with_parent()
        _go_first()

    return prepare


def _go_first() -> None:
    """Where this user may: come before what else the machine does. Each switch to it would cost what is measured."""
    os.setsid()  # a group of its own, where the kernel shares out time by groups (sched(7), autogroup)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        Path("/proc/self/autogroup").write_text(str(NICE))


def cpu_of(pid: int) -> float:
    """Processor seconds of a process with all its threads, by its own clock: /proc has the same in steps of 10 ms."""
    return time.clock_gettime((~pid << 3) | 2)  # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)


def pss_of(pid: int) -> int:
    """Memory of a process in bytes: its own pages, and its share of those that others have too."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, *rest = line.split()
        if name == "Pss:":
            return int(rest[0]) * 1024
    raise RuntimeError("smaps_rollup tells no Pss")


def wait_until_quiet(pid: int) -> None:
    """Return when a process does next to nothing any more, or after `QUIET_WITHIN` seconds."""
    deadline = time.monotonic() + QUIET_WITHIN
    quiet = 0
    while quiet < 2 and time.monotonic() < deadline:
        before, begun = cpu_of(pid), time.monotonic()
        time.sleep(QUIET_WINDOW)
        quiet = quiet + 1 if (cpu_of(pid) - before) / (time.monotonic() - begun) < QUIET else 0

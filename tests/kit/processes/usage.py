"""What a process has taken of the machine, as Linux counts it (proc(5))."""

from __future__ import annotations

import os
import re
from pathlib import Path


def read_processor_seconds(pid: int) -> float:
    """Seconds that a process has taken of a processor, by all its threads, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_memory(pid: int) -> int:
    """Bytes that a process has in memory now."""
    return _read_status(pid, "VmRSS")


def read_most_memory(pid: int) -> int:
    """The most bytes that a process has had in memory."""
    return _read_status(pid, "VmHWM")


def _read_status(pid: int, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) * 1024

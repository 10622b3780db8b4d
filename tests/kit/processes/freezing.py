"""Frozen processes: SIGSTOP is sent at once, and works when each thread comes to it."""

from __future__ import annotations

import time
from pathlib import Path


def until_stopped(pid: int, within: float = 30.0) -> None:
    """Wait until every thread of a process has stopped: until then it may go on answering."""
    deadline = time.monotonic() + within
    while any(_state(thread) not in "Tt" for thread in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < deadline, f"not stopped within {within:g} s"
        time.sleep(0.001)


def _state(thread: Path) -> str:
    # behind the name, which stands in parentheses and may hold anything (proc(5))
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]

"""Frozen processes: SIGSTOP is sent at once, and works when each thread comes to it."""

from __future__ import annotations

from pathlib import Path

from kit.waiting import wait_until


def until_stopped(pid: int, within: float = 30.0) -> None:
    """Wait until every thread of a process has stopped: until then it may go on answering."""
    threads = Path(f"/proc/{pid}/task")
    wait_until(
        lambda: all(_state(thread) in "Tt" for thread in threads.iterdir()), within, what="all stopped", every=0.001
    )


def _state(thread: Path) -> str:
    # behind the name, which stands in parentheses and may hold anything (proc(5))
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]

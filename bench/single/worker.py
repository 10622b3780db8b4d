"""A process of the benchmark that is told things by lines, and answers by lines of JSON."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from single.machine import cpu_of, pinned, pss_of

PATIENCE = 150.0


class Worker:
    """One process on one core. Used as a context, it is killed at its end.

    Args:
        name: For errors.
        command: The program and its arguments.
        core: Where it runs.
        log: Takes its standard error.
        variables: Its environment, besides PATH and the like.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, core: int, log: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        passed = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")  # the last one, for code that is not installed
        kept = {name: os.environ[name] for name in passed if name in os.environ}
        self._name = name
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**kept, **(variables or {})},
                preexec_fn=pinned(core),
                bufsize=0,
            )
        if self._process.stdin is None or self._process.stdout is None:
            raise TypeError("a process with pipes")
        self._orders = self._process.stdin
        self._answers = self._process.stdout
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._orders.close()
        self._answers.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu(self) -> float:
        """Processor seconds so far."""
        return cpu_of(self.pid)

    @property
    def memory(self) -> int:
        """Bytes now."""
        return pss_of(self.pid)

    def answer(self) -> dict[str, Any]:
        """Its next line; an end of the benchmark where none comes."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(PATIENCE):
                    raise SystemExit(f"{self._name} does not answer:\n{self._tail()}")
                if not (got := os.read(self._answers.fileno(), 65536)):
                    raise SystemExit(f"{self._name} has ended:\n{self._tail()}")
                self._unread += got
        line, self._unread = self._unread.split(b"\n", 1)
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, op: str, **options: Any) -> dict[str, Any]:
        """Have something done, and wait for it."""
        self.send(op, **options)
        return self.answer()

    def send(self, op: str, **options: Any) -> None:
        """Have something done, and do not wait for it."""
        self._orders.write(json.dumps({"op": op, **options}).encode() + b"\n")

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

"""How a service that tests need is started, frozen and ended: Redis, MongoDB and Prometheus say what differs."""

from __future__ import annotations

import asyncio
import atexit
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from kit.network.ports import free_port
from kit.processes.freezing import until_stopped
from kit.processes.parent import end_with_parent


class ServiceProcess:
    """A service on a free loopback port. It belongs to no event loop: any fixture may hold it.

    Its port stays over `kill` and `start`, and so do its files; they are gone with `close`.

    Attributes:
        program: What is started.
        port: Where it listens.
    """

    start_within = 30.0
    stop_within = 15.0
    poll_every = 0.01

    def __init__(self, program: str) -> None:
        self.program = program
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._started_once = False
        self._folder = tempfile.TemporaryDirectory(prefix=f"{Path(program).name}-", ignore_cleanup_errors=True)

    @property
    def folder(self) -> Path:
        """The service's working directory, gone when it is closed."""
        return Path(self._folder.name)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # -- what a service says of itself

    def command(self) -> list[str]:
        """What is started."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether this process, and no other one at its port, answers now. An OSError means no."""
        raise NotImplementedError

    # -- from tests

    async def start(self) -> None:
        """Start, on the same port as before, and wait until it answers. Nothing happens if it runs."""
        await asyncio.to_thread(self.start_now)

    async def stop(self) -> None:
        """End it in an orderly way."""
        await asyncio.to_thread(self.stop_now)

    async def kill(self) -> None:
        """End it by SIGKILL."""
        await asyncio.to_thread(self.kill_now)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, and nothing answers."""
        self._send(signal.SIGSTOP)
        until_stopped(self.pid)

    def resume(self) -> None:
        """Let a frozen service go on."""
        self._send(signal.SIGCONT)

    # -- the same without an event loop

    def start_now(self) -> None:
        """As `start`, blocking.

        Raises:
            RuntimeError: It ended instead, or did not answer in time; with the end of its log.
        """
        if self.running:
            return
        atexit.register(self.kill_now)
        log, text = self.folder / "log", ""
        for attempt in range(5):
            if attempt:
                time.sleep(0.2)
                if not self._started_once:
                    self.port = free_port()  # somebody took it between the look and the start
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    self.command(), stdout=output, stderr=output, cwd=self.folder, preexec_fn=end_with_parent
                )
            if self._answers_in_time():
                self._started_once = True
                return
            self.kill_now()
            text = log.read_text(errors="replace")
            if "in use" not in text:
                break
        raise RuntimeError(f"{Path(self.program).name} did not start on port {self.port}:\n{text[-2000:]}")

    def stop_now(self) -> None:
        """As `stop`, blocking."""
        if self._process is None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(self.stop_within)
        except subprocess.TimeoutExpired:
            self.kill_now()

    def kill_now(self) -> None:
        """As `kill`, blocking."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it, whatever state it is in, and remove its files."""
        self.kill_now()
        atexit.unregister(self.kill_now)
        self._folder.cleanup()

    def _answers_in_time(self) -> bool:
        deadline = time.monotonic() + self.start_within
        while time.monotonic() < deadline and self.running:
            try:
                if self.answers():
                    return self.running  # else somebody else listens on that port
            except OSError:
                pass
            time.sleep(self.poll_every)
        return False

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

"""A real redis-server for tests: started on a free loopback port, ended by its process id.

`redis_server` is one process for the whole run, empty at the start of each test; `own_redis` and `durable_redis` are
one test's alone, to be stopped, killed or paused at will.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kit.processes.freezing import until_stopped
from kit.processes.parent import end_with_parent
from tradecast.redis_client.single import SingleClient

HOW_TO_GET_REDIS = "redis-server is not installed: apt-get install redis-server"
START_WITHIN = 30.0
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
"""Arguments of a redis-server that answers for what it took: all of it is there again after `kill` and `start`."""


class RedisMissing(Exception):
    """There is no redis-server on this machine; the text tells how to get it."""


class RedisServer:
    """One redis-server, by default without persistence. It belongs to no event loop: any fixture may hold it.

    Args:
        extra_args: Further arguments of redis-server, such as `--requirepass`, `x`, or `DURABLE`.
        tls: Serve TLS in place of plain TCP; the certificate comes with `extra_args` (`--tls-cert-file`, …).
    """

    def __init__(self, *extra_args: str, tls: bool = False) -> None:
        found = shutil.which("redis-server")
        if found is None:
            raise RedisMissing(HOW_TO_GET_REDIS)
        self.program = found
        self.extra_args = extra_args
        self.tls = tls
        self.port = free_port()
        self._started_once = False
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._timer: threading.Timer | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")

    @property
    def folder(self) -> Path:
        """The server's working directory, gone when the server is closed."""
        return Path(self._folder.name)

    @property
    def url(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The same server over its Unix socket."""
        return f"unix://{self.folder / 'redis.sock'}?db=0"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # -- from tests

    async def start(self) -> None:
        """Start, on the same port as before, and wait until it answers. Nothing happens if it runs."""
        await asyncio.to_thread(self.start_now)

    async def stop(self) -> None:
        """End it in an orderly way (as SHUTDOWN NOSAVE): clients are told at once."""
        await asyncio.to_thread(self.stop_now)

    async def kill(self) -> None:
        """End it by SIGKILL."""
        await asyncio.to_thread(self.stop_now, kill=True)

    async def pause(self, seconds: float) -> None:
        """Freeze it (SIGSTOP) and return at once; it goes on after `seconds`, or earlier by `resume`."""
        assert self.running
        self._cancel_timer()
        self._process_signal(signal.SIGSTOP)
        until_stopped(self.pid)
        self._paused = True
        self._timer = threading.Timer(seconds, self.resume)
        self._timer.daemon = True
        self._timer.start()

    def resume(self) -> None:
        """Let a paused server go on."""
        if self._paused and self.running:
            self._process_signal(signal.SIGCONT)
        self._paused = False

    async def ask(self, *words: str | int) -> Any:
        """Send one command on a connection of its own; the answer, with text decoded.

        Raises:
            redis.exceptions.RedisError: It refused, or did not answer within 10 s.
        """
        return await asyncio.to_thread(self.ask_now, *words)

    async def __aenter__(self) -> RedisServer:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    # -- the same without an event loop

    def command(self) -> list[str]:
        """What is started."""
        port = ["--port", "0", "--tls-port", str(self.port)] if self.tls else ["--port", str(self.port)]
        return [
            *(self.program, *port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
            *("--dir", str(self.folder), "--unixsocket", str(self.folder / "redis.sock")),
            *("--daemonize", "no", *self.extra_args),
        ]

    def start_now(self) -> None:
        """As `start`, blocking.

        Raises:
            RuntimeError: It ended instead, or did not answer in time; with the end of its log.
        """
        if self.running:
            return
        atexit.register(self._kill_process)
        for attempt in range(5):
            if attempt and not self._started_once:
                self.port = free_port()  # somebody took it between the look and the start
            log = self.folder / "log"
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    self.command(), stdout=output, stderr=output, cwd=self.folder, preexec_fn=end_with_parent
                )
            if self._answers():
                self._started_once = True
                return
            self._kill_process()
            text = log.read_text(errors="replace")
            if "in use" not in text:
                raise RuntimeError(f"redis-server did not start:\n{text[-2000:]}")
            time.sleep(0.2)
        raise RuntimeError(f"redis-server found no free port; the last tried was {self.port}")

    def stop_now(self, *, kill: bool = False) -> None:
        """As `stop` and `kill`, blocking."""
        self._cancel_timer()
        if self._process is None:
            return
        if kill:
            self._kill_process()
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._kill_process()

    def ask_now(self, *words: str | int) -> Any:
        """As `ask`, blocking."""
        options: dict[str, Any] = {"decode_responses": True, "encoding_errors": "replace"}
        with Redis("127.0.0.1", self.port, socket_timeout=10, retry=Retry(NoBackoff(), 0), **options) as redis:
            return redis.execute_command(*words)

    def close(self) -> None:
        """End it, whatever state it is in, and remove its files."""
        self.stop_now(kill=True)
        atexit.unregister(self._kill_process)
        self._folder.cleanup()

    def repair(self) -> None:
        """Running, not paused, and empty again."""
        self._cancel_timer()
        self.resume()
        self.start_now()
        with socket.create_connection(("127.0.0.1", self.port), timeout=START_WITHIN) as connection:
            connection.sendall(b"SCRIPT FLUSH\r\nFLUSHALL\r\nCONFIG RESETSTAT\r\nQUIT\r\n")
            answer = b""
            while part := connection.recv(4096):
                answer += part
        assert answer.count(b"+OK") == 4, answer

    def _answers(self) -> bool:
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline and self.running:
            try:
                if self._ping():
                    # Redis takes its port before its own socket: what answered is not somebody else's
                    with socket.socket(socket.AF_UNIX) as own:
                        own.connect(str(self.folder / "redis.sock"))
                    return self.running
            except OSError:
                pass
            time.sleep(0.01)
        return False

    def _ping(self) -> bool:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=2))
            if self.tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                if "--tls-cert-file" in self.extra_args:  # stands for a client certificate, where one is demanded
                    pair = [self.extra_args[self.extra_args.index(f"--tls-{x}-file") + 1] for x in ("cert", "key")]
                    context.load_cert_chain(*pair)
                connection = stack.enter_context(context.wrap_socket(connection))
            connection.sendall(b"PING\r\n")
            # a server that demands a password lives as well
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))

    def _kill_process(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._paused = False

    def _process_signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(*extra_args: str) -> RedisServer:
    """A running server; the test is skipped where there is no redis-server."""
    try:
        server = RedisServer(*extra_args)
    except RedisMissing as missing:
        pytest.skip(str(missing))
    server.start_now()
    return server


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisServer]:
    """The run's redis-server, as other tests left it. Use `redis_server`."""
    server = started()
    yield server
    server.close()


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """The run's redis-server, running and empty. For tests that leave it running."""
    redis_process.repair()
    return redis_process


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A redis-server of this test's own, to be stopped, killed and paused."""
    server = started()
    yield server
    server.close()


@pytest.fixture
def durable_redis() -> Iterator[RedisServer]:
    """As `own_redis`, with all that it had when it is started again."""
    server = started(*DURABLE)
    yield server
    server.close()


def open_client(url: str, **options: Any) -> SingleClient:
    """A client as redis-py makes it, without retries of ours; to be closed."""
    return cast(SingleClient, SingleClient.from_url(url, **options))

"""A real redis-server for tests: started on a free loopback port, ended by its process id.

`redis_server` is one process for the whole run, empty at the start of each test; `own_redis` and `durable_redis` are
one test's alone, to be stopped, killed or paused at will.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, cast

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kit.processes.service import ServiceProcess
from tradecast.redis_client.single import SingleClient

HOW_TO_GET_REDIS = "redis-server is not installed: apt-get install redis-server"
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
"""Arguments of a redis-server that answers for what it took: all of it is there again after `kill` and `start`."""


class RedisMissing(Exception):
    """There is no redis-server on this machine; the text tells how to get it."""


class RedisServer(ServiceProcess):
    """One redis-server, by default without persistence.

    Args:
        extra_args: Further arguments of redis-server, such as `--requirepass`, `x`, or `DURABLE`.
        tls: Serve TLS in place of plain TCP; the certificate comes with `extra_args` (`--tls-cert-file`, …).
    """

    def __init__(self, *extra_args: str, tls: bool = False) -> None:
        found = shutil.which("redis-server")
        if found is None:
            raise RedisMissing(HOW_TO_GET_REDIS)
        super().__init__(found)
        self.extra_args = extra_args
        self.tls = tls
        self._paused = False
        self._timer: threading.Timer | None = None

    @property
    def url(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The same server over its Unix socket."""
        return f"unix://{self.folder / 'redis.sock'}?db=0"

    # -- from tests

    async def pause(self, seconds: float) -> None:
        """Freeze it (SIGSTOP) and return at once; it goes on after `seconds`, or earlier by `resume`."""
        assert self.running
        self._cancel_timer()
        self.freeze()
        self._paused = True
        self._timer = threading.Timer(seconds, self.resume)
        self._timer.daemon = True
        self._timer.start()

    def resume(self) -> None:
        """Let a paused server go on."""
        if self._paused and self.running:
            super().resume()
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

    def stop_now(self) -> None:
        self._cancel_timer()
        super().stop_now()

    def kill_now(self) -> None:
        self._cancel_timer()
        super().kill_now()
        self._paused = False

    def ask_now(self, *words: str | int) -> Any:
        """As `ask`, blocking."""
        options: dict[str, Any] = {"decode_responses": True, "encoding_errors": "replace"}
        with Redis("127.0.0.1", self.port, socket_timeout=10, retry=Retry(NoBackoff(), 0), **options) as redis:
            return redis.execute_command(*words)

    def repair(self) -> None:
        """Running, not paused, and empty again."""
        self._cancel_timer()
        self.resume()
        self.start_now()
        with socket.create_connection(("127.0.0.1", self.port), timeout=self.start_within) as connection:
            connection.sendall(b"SCRIPT FLUSH\r\nFLUSHALL\r\nCONFIG RESETSTAT\r\nQUIT\r\n")
            answer = b""
            while part := connection.recv(4096):
                answer += part
        assert answer.count(b"+OK") == 4, answer

    def answers(self) -> bool:
        if not self._ping():
            return False
        # Redis takes its port before its own socket: what answered is not somebody else's
        with socket.socket(socket.AF_UNIX) as own:
            own.connect(str(self.folder / "redis.sock"))
        return True

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

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


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

"""A MongoDB-compatible server for tests: SecantusDB in a process of its own, or the MongoDB that MONGODB_URI names.

`mongo_server` is one server for the whole run, with a database of a random name for each test, dropped after it.
`own_mongo` is one test's alone, to be stopped, killed and paused, and `standalone_mongo` one without change streams;
both are SecantusDB always.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from kit.processes.freezing import until_stopped
from kit.processes.parent import end_with_parent

HOW_TO_GET_MONGODB = (
    "no MongoDB-compatible server: pip install SecantusDB (it is in the extra `dev`), or set MONGODB_URI to a real one"
)
START_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class MongoDatabase:
    """A database that is empty at the start of the test and gone after it."""

    uri: str
    database: str


class MongoServer:
    """One SecantusDB on a free loopback port; what it stores survives `kill` and `start`, and is gone with `close`.

    Args:
        extra_args: Further arguments, such as `--auth` or `--tls-cert-file`; they may be changed between starts.
        standalone: Be no replica set: change streams are refused, as by a standalone mongod.
    """

    def __init__(self, *extra_args: str, standalone: bool = False) -> None:
        if find_spec("secantus") is None:
            pytest.skip(HOW_TO_GET_MONGODB)
        self.port = free_port()
        self.standalone = standalone
        self.extra_args = extra_args
        self._process: subprocess.Popen[bytes] | None = None
        self._started_once = False
        self._folder = tempfile.TemporaryDirectory(prefix="mongo-", ignore_cleanup_errors=True)

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def database(self) -> MongoDatabase:
        """A database of a new name."""
        return MongoDatabase(self.uri, f"test_{secrets.token_hex(6)}")

    # -- from tests

    async def start(self) -> None:
        """Start, on the same port and with the same data as before, and wait until it answers."""
        await asyncio.to_thread(self.start_now)

    async def stop(self) -> None:
        """End it in an orderly way."""
        await asyncio.to_thread(self.stop_now)

    async def kill(self) -> None:
        """End it by SIGKILL."""
        await asyncio.to_thread(self.kill_now)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        until_stopped(self._process.pid)

    def resume(self) -> None:
        """Let a paused server go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    # -- the same without an event loop

    def command(self) -> list[str]:
        """What is started."""
        return [
            *(sys.executable, "-m", "secantus", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--storage-path", str(Path(self._folder.name, "data")), "--cache-size", "64M", "--log-level", "ERROR"),
            *(["--standalone"] if self.standalone else []),
            *self.extra_args,
        ]

    def start_now(self) -> None:
        """As `start`, blocking.

        Raises:
            RuntimeError: It ended instead, or did not answer in time; with the end of its log.
        """
        if self.running:
            return
        atexit.register(self.kill_now)
        log = Path(self._folder.name, "log")
        for attempt in range(5):
            if attempt and not self._started_once:
                self.port = free_port()  # somebody took it between the look and the start
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    self.command(), stdout=output, stderr=output, cwd=self._folder.name, preexec_fn=end_with_parent
                )
            if self._answers_in_time():
                self._started_once = True
                return
            self.kill_now()
            text = log.read_text(errors="replace")
            if "in use" not in text:
                break
            time.sleep(0.2)
        raise RuntimeError(f"SecantusDB did not start:\n{text[-2000:]}")

    def stop_now(self) -> None:
        """As `stop`, blocking."""
        if self._process is None:
            return
        self.resume()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
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
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline and self.running:
            if _answers(self.port, tls="--tls-cert-file" in self.extra_args):
                return self.running  # else somebody else listens on that port
            time.sleep(0.02)
        return False


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int, *, tls: bool = False) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true{'&tls=true&tlsInsecure=true' if tls else ''}"
        client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=2000, socketTimeoutMS=5000)
        with client, contextlib.suppress(PyMongoError):
            client.admin.command("ping")
            return True
    return False


def _drop(database: MongoDatabase) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(
        database.uri, serverSelectionTimeoutMS=10_000, socketTimeoutMS=20_000
    )
    with client:
        client.drop_database(database.database)


@pytest.fixture(scope="session")
def mongo_process() -> Iterator[MongoServer | None]:
    """The run's SecantusDB; None where MONGODB_URI names a server. Use `mongo_server`."""
    if os.environ.get("MONGODB_URI"):
        yield None
        return
    server = MongoServer()
    server.start_now()
    yield server
    server.close()


@pytest.fixture
def mongo_server(mongo_process: MongoServer | None) -> Iterator[MongoDatabase]:
    """An empty database on the run's server. For tests that leave the server running."""
    if mongo_process is None:
        database = MongoDatabase(os.environ["MONGODB_URI"], f"test_{secrets.token_hex(6)}")
    else:
        database = mongo_process.database()
    yield database
    _drop(database)


@pytest.fixture
def own_mongo() -> Iterator[MongoServer]:
    """A server of this test's own, to be stopped, killed and paused."""
    server = MongoServer()
    server.start_now()
    yield server
    server.close()


@pytest.fixture(scope="session")
def standalone_process() -> Iterator[MongoServer]:
    """The run's standalone server. Use `standalone_mongo`."""
    server = MongoServer(standalone=True)
    server.start_now()
    yield server
    server.close()


@pytest.fixture
def standalone_mongo(standalone_process: MongoServer) -> Iterator[MongoDatabase]:
    """An empty database on a server that has no change streams."""
    database = standalone_process.database()
    yield database
    _drop(database)

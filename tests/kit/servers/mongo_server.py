"""A MongoDB-compatible server for tests: SecantusDB in a process of its own, or the MongoDB that MONGODB_URI names.

`mongo_server` is one server for the whole run, with a database of a random name for each test, dropped after it.
`own_mongo` is one test's alone, to be stopped, killed and paused, and `standalone_mongo` one without change streams;
both are SecantusDB always.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from kit.processes.service import ServiceProcess

HOW_TO_GET_MONGODB = (
    "no MongoDB-compatible server: pip install SecantusDB (it is in the extra `dev`), or set MONGODB_URI to a real one"
)


@dataclass(frozen=True, slots=True)
class MongoDatabase:
    """A database that is empty at the start of the test and gone after it."""

    uri: str
    database: str


class MongoServer(ServiceProcess):
    """One SecantusDB; what it stores survives `kill` and `start`.

    Args:
        extra_args: Further arguments, such as `--auth` or `--tls-cert-file`; they may be changed between starts.
        standalone: Be no replica set: change streams are refused, as by a standalone mongod.
    """

    start_within = 60.0
    stop_within = 20.0
    poll_every = 0.02

    def __init__(self, *extra_args: str, standalone: bool = False) -> None:
        if find_spec("secantus") is None:
            pytest.skip(HOW_TO_GET_MONGODB)
        super().__init__("SecantusDB")
        self.standalone = standalone
        self.extra_args = extra_args

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def database(self) -> MongoDatabase:
        """A database of a new name."""
        return MongoDatabase(self.uri, f"test_{secrets.token_hex(6)}")

    def command(self) -> list[str]:
        """What is started."""
        return [
            *(sys.executable, "-m", "secantus", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--storage-path", str(self.folder / "data"), "--cache-size", "64M", "--log-level", "ERROR"),
            *(["--standalone"] if self.standalone else []),
            *self.extra_args,
        ]

    def answers(self) -> bool:
        return _answers(self.port, tls="--tls-cert-file" in self.extra_args)


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

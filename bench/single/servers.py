"""The servers that are measured: what they are, how they are built, and how they are started."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from single.machine import SERVER_CORE
from single.packages import install
from single.worker import Worker

HERE = Path(__file__).parent
PEERS = HERE / "peers"
BUILD = HERE.parents[1] / "build" / "bench-single"
TARGET = BUILD / "cargo"
BASE = "node"

TRADECAST_SETTINGS = {
    "HOST": "127.0.0.1",
    "PORT": "0",
    "ADMIN_HOST": "127.0.0.1",
    "ADMIN_PORT": "0",
    "LOG_LEVEL": "info",
    # Admission is lifted: the storm comes as fast as the server takes it.
    "ACCEPT_RATE": "1000000",
    "ACCEPT_BURST": "1000000",
    "MAX_CONNECTIONS": "20000",
    # As all others: heartbeats would fall into the phases of some, and not of others.
    "PING_INTERVAL": "120",
    "PING_TIMEOUT": "60",
}


@dataclass(frozen=True)
class Peer:
    """One server.

    Attributes:
        key: Its letter in the issue's list and in every table.
        title: For tables.
        short: For plots.
        command: How it is started, without the arguments SESSIONS and COUNT.
        npm: A folder whose package-lock.json is to be installed.
        cargo: A folder with a program to build.
        sessions: It makes sessions itself, and takes no others.
        variables: Its environment.
    """

    key: str
    title: str
    short: str
    command: Sequence[str]
    npm: Path | None = None
    cargo: Path | None = None
    sessions: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


SERVERS: dict[str, Peer] = {
    "tradecast": Peer(
        "a",
        "tradecast",
        "tradecast",
        [sys.executable, str(PEERS / "tradecast" / "server.py")],
        sessions=True,
        variables=TRADECAST_SETTINGS,
    ),
    BASE: Peer(
        "b",
        "Node 4.8.4, the same features",
        "Node",
        ["node", str(PEERS / "node" / "server.mjs")],
        npm=PEERS / "node",
        sessions=True,
        variables={"NODE_ENV": "production"},
    ),
    "bun": Peer(
        "c",
        "Bun 1.4.5 and its engine, bare",
        "Bun",
        [str(PEERS / "bun" / "node_modules" / ".bin" / "bun"), str(PEERS / "bun" / "server.mjs")],
        npm=PEERS / "bun",
        variables={"NODE_ENV": "production"},
    ),
    "python_socketio": Peer(
        "d",
        "python-socketio 5.18.1, bare",
        "python-socketio",
        [sys.executable, str(PEERS / "python_socketio" / "server.py")],
    ),
    "rust": Peer(
        "e", "socketioxide 0.18.9, bare", "socketioxide", [str(TARGET / "release" / "rust")], cargo=PEERS / "rust"
    ),
    "floor": Peer("f", "the bare protocol", "bare protocol", [sys.executable, str(PEERS / "floor" / "server.py")]),
}


def build(names: Sequence[str]) -> None:
    """Build the load generator, and install and build what these servers need; nothing where that is done."""
    BUILD.mkdir(parents=True, exist_ok=True)
    crates = [HERE / "load"]
    for name in names:
        peer = SERVERS[name]
        if peer.npm is not None:
            install(peer.npm)
        if peer.cargo is not None:
            crates.append(peer.cargo)
    for crate in crates:
        compile_crate(crate)


@contextlib.contextmanager
def started(name: str, count: int) -> Iterator[tuple[Worker, int, Path]]:
    """A server with `count` sessions: its process, its port, and the file with the sessions."""
    peer = SERVERS[name]
    sessions = BUILD / f"{name}.sessions"
    if not peer.sessions:
        sessions.write_text("".join(f"session-{n:024} user-{n:06}\n" for n in range(count)))
    command = [*peer.command, str(sessions), str(count)]
    with Worker(name, command, core=SERVER_CORE, log=BUILD / f"{name}.log", variables=peer.variables) as worker:
        yield worker, worker.answer()["port"], sessions


def compile_crate(folder: Path) -> None:
    """Build a program in Rust; nothing where that is done."""
    if (cargo := shutil.which("cargo")) is None:
        raise SystemExit("cargo is not installed: install Rust 1.85 or later (the load generator is written in it)")
    if not (TARGET / "release" / folder.name).exists():
        print(f"Building {folder.relative_to(HERE.parent)} (a minute, once) …", flush=True)
    command = [cargo, "build", "--release", "--locked", "--quiet"]
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)})  # noqa: S603

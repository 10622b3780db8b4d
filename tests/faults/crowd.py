"""The stock clients of crowd.mjs, and their diaries as they are written."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from faults.proof import IMPLIED, Diary, Entry
from kit.clients.node import install
from kit.processes.parent import end_with_parent

HERE = Path(__file__).parent
ROOMS = ("portfolio", "trades", IMPLIED)
OPTIONS = {"reconnectionDelay": 300, "reconnectionDelayMax": 2_000, "randomizationFactor": 0.5, "timeout": 5_000}
"""socket.io-client's: they come back soon, and give a server that hangs five seconds."""
LIMIT = 2**20


class Older(NamedTuple):
    """A quote that came although a newer one had been shown, and when it came (Unix seconds)."""

    symbol: str
    number: int
    shown: int
    at: float

    def __str__(self) -> str:
        return f"{self.symbol} {self.number} after {self.shown} (at {self.at:.3f})"


class CrowdClient:
    """One client, as far as its diary tells.

    Attributes:
        quotes: The number of the quote that it shows of each symbol, over all its connections.
        symbols: What it watches.
        older: Quotes that it was given although it had shown a newer one since it last began anew.
    """

    def __init__(self, name: str, user: str) -> None:
        self.quotes: dict[str, int] = {}
        self.older: list[Older] = []
        self.symbols: Sequence[str] = ()
        self.diary = Diary(name, user)
        self.got: set[str] = set()
        self.connections = 0
        self.connected = False
        self.rooms: set[str] = set()

    @property
    def ready(self) -> bool:
        """Connected, and in all its rooms."""
        return self.connected and self.rooms.issuperset(ROOMS)

    def take(self, entry: Entry) -> None:
        """One more line."""
        self.diary.entries.append(entry)
        match entry.kind:
            case "quote":
                before = self.quotes.get(entry.detail, 0)
                number = int(entry.flag)
                if number < before:
                    self.older.append(Older(entry.detail, number, before, entry.at))
                self.quotes[entry.detail] = number
            case "event":
                self.got.add(entry.detail)
            case "connect":
                self.connections += 1
                self.connected = True
                if not entry.flag:  # it is told that it may have missed what it had not seen
                    self.quotes.clear()
                self.rooms = {*self.rooms, IMPLIED} if entry.flag else {IMPLIED}
            case "subscribed":
                self.rooms.add(entry.detail)
            case "disconnect" | "refused":
                self.connected = False
            case _:
                pass


class Crowd:
    """The process of the clients.

    Args:
        process: `node crowd.mjs`.
        url: Where clients connect.
        journal: Where every line is kept.

    Attributes:
        clients: By name, in the order in which they were added.
    """

    def __init__(self, process: asyncio.subprocess.Process, url: str, journal: Path) -> None:
        self.clients: dict[str, CrowdClient] = {}
        self._process = process
        self._url = url
        self._journal = journal

    @property
    def diaries(self) -> list[Diary]:
        return [client.diary for client in self.clients.values()]

    def add(
        self, name: str, auth: Mapping[str, Any], *, url: str = "", symbols: Sequence[str] = (), **options: Any
    ) -> CrowdClient:
        """Let one more client connect, perhaps by another URL, and watch symbols; options are socket.io-client's."""
        client = self.clients[name] = CrowdClient(name, str(auth["userId"]))
        client.symbols = symbols
        options = {**OPTIONS, **options}
        self._tell(op="add", client=name, url=url or self._url, auth=dict(auth), options=options, symbols=list(symbols))
        return client

    async def read(self) -> None:
        """Take what the clients write, until they are gone."""
        assert self._process.stdout is not None
        with self._journal.open("w", encoding="utf-8") as journal:
            async for line in self._process.stdout:
                text = line.decode()
                journal.write(text)
                name, at, *rest = json.loads(text)
                self.clients[name].take(Entry(at / 1000, *rest))

    def _tell(self, **message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")


@contextlib.asynccontextmanager
async def gathered(url: str, journal: Path) -> AsyncIterator[Crowd]:
    """A crowd without clients yet."""
    await asyncio.to_thread(install)
    process = await asyncio.create_subprocess_exec(
        *("node", str(HERE / "crowd.mjs")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LIMIT,
        preexec_fn=end_with_parent,
    )
    crowd = Crowd(process, url, journal)
    reading = asyncio.create_task(crowd.read())
    try:
        yield crowd
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading

"""The stock clients of crowd.mjs, and their diaries as they are written."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from faults.proof import IMPLIED, Diary, Entry
from kit.clients.node import install
from kit.processes.parent import end_with_parent

HERE = Path(__file__).parent
ROOMS = ("portfolio", "trades", IMPLIED)
OPTIONS = {"reconnectionDelay": 300, "reconnectionDelayMax": 2_000, "randomizationFactor": 0.5, "timeout": 5_000}
"""socket.io-client's: they come back soon, and give a server that hangs five seconds."""
LIMIT = 2**20


class CrowdClient:
    """One client, as far as its diary tells."""

    def __init__(self, name: str, user: str) -> None:
        self.diary = Diary(name, user)
        self.got: set[str] = set()
        self.connections = 0
        self.connected = False
        self.rooms: set[str] = set()

    @property
    def ready(self) -> bool:
        """Connected, and in all its rooms."""
        return self.connected and len(self.rooms) == len(ROOMS)

    def take(self, entry: Entry) -> None:
        """One more line."""
        self.diary.entries.append(entry)
        match entry.kind:
            case "event":
                self.got.add(entry.detail)
            case "connect":
                self.connections += 1
                self.connected = True
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

    def add(self, name: str, auth: Mapping[str, Any], **options: Any) -> CrowdClient:
        """Let one more client connect; options are socket.io-client's."""
        client = self.clients[name] = CrowdClient(name, str(auth["userId"]))
        self._tell(op="add", client=name, url=self._url, auth=dict(auth), options={**OPTIONS, **options})
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

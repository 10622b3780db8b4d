"""A crowd of stock socket.io clients (tests/protocol/stock/crowd.mjs), and what it went through."""

from __future__ import annotations

import bisect
import itertools
import json
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from kit.clients.node import STOCK, install

SYMBOL = "E2E"
EVENT = "e2e:number"


@dataclass(frozen=True)
class Report:
    """What all clients noted. Times are Unix milliseconds of this machine's clock."""

    clients: list[dict[str, Any]]

    @property
    def connected(self) -> int:
        return sum(client["connected"] for client in self.clients)

    @property
    def subscribed(self) -> int:
        return sum(client["connected"] and client["subscribed"] for client in self.clients)

    @property
    def transports(self) -> Counter[str]:
        """How many connected clients use which transport."""
        return Counter(client["transport"] for client in self.clients if client["connected"])

    @property
    def final(self) -> int:
        """Refusals after which stock clients do not come back."""
        return sum(client["final"] for client in self.clients)

    def reconnects(self, since: float = 0) -> list[int]:
        """How often each client connected again after `since`."""
        return [
            sum(when >= since for when in (client["connects"] if since else client["connects"][1:]))
            for client in self.clients
        ]

    def busiest(self, seconds: float, since: float = 0) -> float:
        """The most connections per second that clients lost in any stretch of so many seconds."""
        times = sorted(when for client in self.clients for when, _ in client["disconnects"] if when >= since)
        most = max((bisect.bisect_right(times, start + seconds * 1000) - i for i, start in enumerate(times)), default=0)
        return most / seconds

    def lost(self, since: float = 0) -> list[float]:
        """When clients lost their connections."""
        return [when for client in self.clients for when, _ in client["disconnects"] if when >= since]

    def spell(self, since: float = 0) -> float:
        """Seconds between the first and the last connection that clients lost."""
        times = self.lost(since)
        return (max(times) - min(times)) / 1000 if times else 0.0

    @property
    def quiet(self) -> float:
        """Seconds since a client lost its connection."""
        times = [when for client in self.clients for when, _ in client["disconnects"]]
        return time.time() - max(times, default=0) / 1000

    @property
    def errors(self) -> Counter[str]:
        """Attempts to connect that failed, by the client's message."""
        return sum((Counter(client["errors"]) for client in self.clients), Counter[str]())

    def missed(self, accepted: Sequence[int]) -> Counter[int]:
        """How many clients missed how many of these events."""
        return Counter(len(set(accepted).difference(client["seqs"])) for client in self.clients)

    @property
    def doubles(self) -> int:
        return sum(len(client["seqs"]) - len(set(client["seqs"])) for client in self.clients)

    @property
    def disorders(self) -> int:
        """Events that came after one with a higher number."""
        return sum(one > other for client in self.clients for one, other in itertools.pairwise(client["seqs"]))

    @property
    def unrecovered(self) -> int:
        """Times that a client came back and could not go on where it was."""
        return sum(client["unrecovered"] for client in self.clients)

    def summary(self, accepted: Sequence[int] = (), since: float = 0) -> str:
        """One line for people."""
        missed = self.missed(accepted)
        total = sum(count * clients for count, clients in missed.items())
        return "; ".join(
            (
                f"{self.connected} of {len(self.clients)} connected",
                f"reconnects per client: {dict(Counter(self.reconnects(since)))}",
                f"{self.busiest(5, since):.1f} closes/s at most over 5 s",
                f"{total} of {len(accepted) * len(self.clients)} events missed, {self.doubles} doubled, "
                f"{self.disorders} out of order, {self.unrecovered} returns not recovered",
                f"failed attempts to connect: {dict(self.errors)}",
            )
        )


class Crowd:
    """The process of the clients."""

    def __init__(self, url: str) -> None:
        install()
        self.url = url
        self._process = subprocess.Popen(
            ["node", "crowd.mjs"], cwd=STOCK, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def add(self, sessions: Sequence[dict[str, str]], per_second: float = 100, **options: Any) -> None:
        """Let clients connect, one per session; options are socket.io-client's."""
        self._ask(
            op="add",
            url=self.url,
            clients=list(sessions),
            perSecond=per_second,
            options=options,
            symbol=SYMBOL,
            event=EVENT,
        )

    def leave(self, count: int) -> None:
        self._ask(op="leave", count=count)

    def report(self) -> Report:
        return Report(self._ask(op="report")["clients"])

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ask(self, **message: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer
        return answer

"""Requests to all servers, and their answers."""

# ruff: noqa: ASYNC109 - what a timeout leaves unanswered is part of the answer

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from tradecast.background.tasks import TaskSet
from tradecast.cluster_rpc.errors import TooLarge
from tradecast.cluster_rpc.protocol import Request, Response, encode_message
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain

MAX_REQUEST = 1_000_000
MAX_PENDING = 1_000
# Items of one server's answer; one that has more is not taken.
MAX_ITEMS = 200_000
TOO_MANY = "the answer is too large"


@dataclass(slots=True)
class Answers:
    """The answers to a request.

    Attributes:
        items: The answer of each server that answered.
        failed: Servers that could not do it, or only a part of it, and why.
        missing: Servers that did not answer in time.
        gone: Servers that died before they answered.
    """

    items: dict[str, list[Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        return not (self.failed or self.missing or self.gone)


class _Pending:
    def __init__(self, expected: Collection[str]) -> None:
        self.expected = set(expected)
        self.parts: dict[str, dict[int, Response]] = {}
        self.answers = Answers()
        self.gone: set[str] = set()
        self.done = asyncio.Event()
        self.check_done()

    def check_done(self) -> None:
        if not self.expected:
            self.done.set()

    def take(self, response: Response) -> None:
        """One more part; a part that comes twice counts once."""
        server = response.server
        if server in self.answers.items or server in self.answers.failed:
            return
        parts = self.parts.setdefault(server, {})
        parts[response.part] = response
        if sum(len(part.items) for part in parts.values()) > MAX_ITEMS:
            self.answers.failed[server] = TOO_MANY
        elif len(parts) < response.parts:
            return
        else:
            self.answers.items[server] = [item for _, part in sorted(parts.items()) for item in part.items]
            if response.error:
                self.answers.failed[server] = response.error
        del self.parts[server]
        self.gone.discard(server)
        self.expected.discard(server)
        self.check_done()


class Peers(Protocol):
    """Knows which other servers can be asked: `ReachableServers`."""

    @property
    def others(self) -> Collection[str]:
        """Their names."""
        ...


class Broadcast(Protocol):
    """Sends to all servers: the broker."""

    async def send_to_all(self, data: bytes) -> None:
        """Send a control message to all servers, this one included. Raises AdapterUnavailable."""
        ...


class OwnPart(Protocol):
    """Carries out this server's part of its own requests: the `Responder`."""

    async def answer_own(self, kind: str, body: Any) -> Response:
        """The answer as the others would get it; never raises."""
        ...


class Requester:
    """Asks all other servers, and gathers their answers.

    Args:
        own: This server's name.
        peers: The others.
        broadcast: Sends the requests.
        max_pending: Requests that may wait for answers.
    """

    def __init__(self, own: str, peers: Peers, broadcast: Broadcast, max_pending: int = MAX_PENDING) -> None:
        self._own = own
        self._peers = peers
        self._broadcast = broadcast
        self._max_pending = max_pending
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._own_parts = TaskSet()

    def __len__(self) -> int:
        """How many wait for answers."""
        return len(self._pending)

    async def send(self, kind: str, body: Any) -> None:
        """Have all others do something, and wait for no answer.

        Raises:
            TooLarge: It is more than servers send each other at once.
            TypeError: It cannot be said in JSON.
            AdapterUnavailable: It was not sent.
        """
        await self._broadcast.send_to_all(
            self._encode(Request(self._own, next(self._numbers), kind, body, answer=False))
        )

    async def ask(self, kind: str, body: Any, timeout: float, own_part: OwnPart | None = None) -> Answers:
        """Have all others do something, and wait until all have answered that are there, or `timeout` seconds.

        Args:
            kind: What.
            body: What more the kind needs.
            timeout: Seconds.
            own_part: Carries out this server's own part, once the request was sent; None: it has none.

        Raises:
            As `send`; then this server has not done its part either.
        """
        if len(self._pending) >= self._max_pending:
            raise AdapterUnavailable("too many requests wait for other servers already")
        number = next(self._numbers)
        data = self._encode(Request(self._own, number, kind, body))
        pending = self._pending[number] = _Pending(self._peers.others)
        sent = False
        try:
            async with asyncio.timeout(timeout):
                await self._broadcast.send_to_all(data)
                sent = True
                if own_part is not None:
                    pending.expected.add(self._own)
                    pending.done.clear()
                    # To its end even if nobody waits for it any more: as the others do.
                    self._own_parts.spawn(self._take_own(pending, own_part, kind, body), name="own part of a request")
                await pending.done.wait()
        except TimeoutError:
            if not sent:
                raise PublishUncertain("Redis did not say in time whether the request was sent") from None
        finally:
            del self._pending[number]
        answers = pending.answers
        answers.missing = frozenset(pending.expected)
        answers.gone = frozenset(pending.gone)
        return answers

    @staticmethod
    async def _take_own(pending: _Pending, own_part: OwnPart, kind: str, body: Any) -> None:
        pending.take(await own_part.answer_own(kind, body))

    async def close(self) -> None:
        await self._own_parts.close()

    def on_response(self, response: Response) -> None:
        """A part of an answer has come. One that nobody waits for any more is ignored."""
        pending = self._pending.get(response.number)
        if pending is not None:
            pending.take(response)

    def on_servers_gone(self, servers: Collection[str], *, orderly: bool = False) -> None:
        """These servers will not answer any more; `orderly`: they have no clients any more either."""
        for pending in self._pending.values():
            gone = pending.expected.intersection(servers)
            pending.expected -= gone
            if not orderly:
                pending.gone |= gone
            pending.check_done()

    def _encode(self, request: Request) -> bytes:
        data = encode_message(request)
        if len(data) > MAX_REQUEST:
            raise TooLarge(f"a request to all servers has at most {MAX_REQUEST} bytes")
        return data

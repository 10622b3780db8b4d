"""Requests to all servers, and their answers."""

# ruff: noqa: ASYNC109 - what a timeout leaves unanswered is part of the answer

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tradecast.background.tasks import TaskSet
from tradecast.cluster_rpc.errors import TooLarge
from tradecast.cluster_rpc.protocol import Request, Response, encode
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain

MAX_REQUEST = 1_000_000
MAX_PENDING = 1_000
# Items of one server's answer; one that has more is not taken.
MAX_ITEMS = 200_000
TOO_MANY = "the answer is too large"


@dataclass(slots=True)
class Answers:
    """What came of a request.

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
        self.look()

    def look(self) -> None:
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
        self.look()


class Requests:
    """Asks all other servers, and gathers what they answer.

    Args:
        own: This server's name.
        others: Those who are there.
        tell_all: Sends a message to all; raises AdapterUnavailable.
        max_pending: Requests that may wait for answers.
    """

    def __init__(
        self,
        own: str,
        others: Callable[[], Collection[str]],
        tell_all: Callable[[bytes], Awaitable[None]],
        max_pending: int = MAX_PENDING,
    ) -> None:
        self._own = own
        self._others = others
        self._tell_all = tell_all
        self._max_pending = max_pending
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._own_parts = TaskSet()

    def __len__(self) -> int:
        """How many wait for answers."""
        return len(self._pending)

    async def tell(self, kind: str, body: Any) -> None:
        """Have all others do something, and wait for no answer.

        Raises:
            TooLarge: It is more than servers tell each other at once.
            TypeError: It cannot be said in JSON.
            AdapterUnavailable: They were not told.
        """
        await self._tell_all(self._encoded(Request(self._own, next(self._numbers), kind, body, answer=False)))

    async def ask(
        self, kind: str, body: Any, timeout: float, here: Callable[[], Coroutine[Any, Any, Response]] | None = None
    ) -> Answers:
        """Have all others do something, and wait until all have answered that are there, or `timeout` seconds.

        Args:
            kind: What.
            body: What more the kind needs.
            timeout: Seconds.
            here: This server's own part, begun once the others have been told; it never raises.

        Raises:
            As `tell`; then this server has not done its part either.
        """
        if len(self._pending) >= self._max_pending:
            raise AdapterUnavailable("too many requests wait for other servers already")
        number = next(self._numbers)
        data = self._encoded(Request(self._own, number, kind, body))
        pending = self._pending[number] = _Pending(self._others())
        told = False
        try:
            async with asyncio.timeout(timeout):
                await self._tell_all(data)
                told = True
                if here is not None:
                    pending.expected.add(self._own)
                    pending.done.clear()
                    self._begin(pending, here())
                await pending.done.wait()
        except TimeoutError:
            if not told:
                raise PublishUncertain("Redis did not say in time whether the other servers were told") from None
        finally:
            del self._pending[number]
        answers = pending.answers
        answers.missing = frozenset(pending.expected)
        answers.gone = frozenset(pending.gone)
        return answers

    def _begin(self, pending: _Pending, here: Coroutine[Any, Any, Response]) -> None:
        """Do this server's own part, to its end even if nobody waits for it any more: as the others do."""

        async def do() -> None:
            pending.take(await here)

        self._own_parts.spawn(do(), name="own part of a request")

    async def close(self) -> None:
        await self._own_parts.close()

    def answered(self, response: Response) -> None:
        """A part of an answer has come. One that nobody waits for any more is passed over."""
        pending = self._pending.get(response.number)
        if pending is not None:
            pending.take(response)

    def gone(self, servers: Collection[str], *, orderly: bool = False) -> None:
        """These servers will not answer any more; `orderly`: they have no clients any more either."""
        for pending in self._pending.values():
            over = pending.expected.intersection(servers)
            pending.expected -= over
            if not orderly:
                pending.gone |= over
            pending.look()

    def _encoded(self, request: Request) -> bytes:
        data = encode(request)
        if len(data) > MAX_REQUEST:
            raise TooLarge(f"a request to all servers has at most {MAX_REQUEST} bytes")
        return data

"""Numbered quotes: what a client shows of a symbol never goes back, and is the last one in the end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from faults.crowd import CrowdClient, Older
from faults.proof import Interval
from faults.publisher import NotAccepted, Outlet

SYMBOLS = ("S1", "S2", "S3")
RATE = 10.0
"""Quotes a second of each symbol: more than THROTTLE lets through."""
DEPTH = [[100 + step / 100, 100 * step] for step in range(120)]
"""So large that slow links cannot carry all quotes, and that they are compressed."""
TRY_AGAIN_AFTER = 0.2


class QuotePublisher:
    """Publishes quotes of each symbol, one after the other: a number is never used again.

    Args:
        outlet: Where they go.

    Attributes:
        accepted: The highest number of each symbol that was accepted.
        unclear: Numbers of which nobody knows whether and when they were published.
        times: When the publishing of each number began and ended (Unix seconds).
        errors: Kinds of failures.
    """

    def __init__(self, outlet: Outlet) -> None:
        self.accepted: dict[str, int] = {}
        self.unclear: set[tuple[str, int]] = set()
        self.times: dict[tuple[str, int], tuple[float, float]] = {}
        self.errors: Counter[str] = Counter()
        self._outlet = outlet
        self._numbers: Counter[str] = Counter()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    def start(self) -> None:
        """Publish from now on."""
        self._tasks = {symbol: asyncio.create_task(self._lane(symbol)) for symbol in SYMBOLS}

    async def stop(self) -> None:
        """Publish no more; what is under way is finished."""
        self._stopping = True
        tasks, self._tasks = self._tasks, {}
        await asyncio.gather(*tasks.values())

    async def publish(self, symbol: str) -> bool:
        """Publish the next quote of a symbol; whether it was accepted."""
        self._numbers[symbol] += 1
        number = self._numbers[symbol]
        started = time.time()
        try:
            # a field that comes and goes, so that deltas have something to delete
            extra = {"halted": True} if number % 5 == 0 else {}
            await self._outlet.send_quote(symbol, {"n": number, "price": 100 + number / 100, "depth": DEPTH, **extra})
        except NotAccepted as error:
            self.errors[str(error)] += 1
            if not error.sure:
                self.unclear.add((symbol, number))
            return False
        finally:
            self.times[symbol, number] = (started, time.time())
        self.accepted[symbol] = number
        return True

    async def publish_surely(self, within: float) -> None:
        """Publish the last quotes of each symbol, faster than they may be sent.

        Raises:
            AssertionError: One was not accepted within that many seconds.
        """
        deadline = time.monotonic() + within
        for symbol in SYMBOLS * 3:
            while not await self.publish(symbol):
                assert time.monotonic() < deadline, f"no quote is accepted for {within:g} s: {self.errors}"
                await asyncio.sleep(TRY_AGAIN_AFTER)

    def problems(
        self, clients: Iterable[CrowdClient], failovers: Sequence[Interval] = (), before: float = 0.0, shown: int = 5
    ) -> list[str]:
        """What is wrong with what clients show, one line each.

        Args:
            clients: The clients.
            failovers: When Redis may have lost what it had accepted: who was shown that goes back to what is left.
            before: So many seconds of each of these times are before the failover itself.
            shown: How many older quotes of a client are named.
        """
        found = []
        for client in clients:
            if not client.symbols:
                continue
            if older := [str(one) for one in client.older if not self._is_excused(one, failovers, before)]:
                found.append(
                    f"{client.diary.client}: {len(older)} quotes older than before: {', '.join(older[:shown])}"
                )
            behind = {
                symbol: client.quotes.get(symbol, 0) for symbol in self.accepted if not self._is_last(client, symbol)
            }
            found += [
                f"{client.diary.client}: shows quote {number} of {symbol}, and {self.accepted[symbol]} is the last"
                for symbol, number in behind.items()
            ]
        return found

    def are_shown(self, clients: Iterable[CrowdClient]) -> bool:
        """Whether all who watch show the last quotes."""
        return all(self._is_last(client, symbol) for client in clients if client.symbols for symbol in self.accepted)

    def _is_last(self, client: CrowdClient, symbol: str) -> bool:
        return client.quotes.get(symbol, 0) >= self.accepted[symbol]

    def _is_excused(self, older: Older, failovers: Sequence[Interval], before: float) -> bool:
        """Whether the number may have been published late, or the newer one that was shown may be lost."""
        newer = (older.symbol, older.shown)
        if (older.symbol, older.number) in self.unclear:
            return True
        return any(one.overlaps(*self.times[newer]) and older.at >= one.begin + before for one in failovers)

    async def _lane(self, symbol: str) -> None:
        due = time.monotonic()
        while not self._stopping:
            await self.publish(symbol)
            due = max(due + 1 / RATE, time.monotonic() - 1 / RATE)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

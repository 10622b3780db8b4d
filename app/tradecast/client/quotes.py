"""Live quotes over a client of python-socketio (`socketio.AsyncClient`).

    sio = socketio.AsyncClient()
    quotes = Quotes(sio, on_quote=show, max_age=10)
    await sio.connect(url, auth={"sessionID": …, "userId": …, "recovery": False, "deltas": True})
    await quotes.subscribe(["AAPL", "MSFT"])

It keeps the newest quote of each symbol, made of whole quotes and of deltas; subscribes again after a lost connection;
and says which quotes are stale. `quotes.mjs` does the same in JavaScript.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tradecast.client.ages import QuoteAges
from tradecast.client.book import Payload, QuoteBook

SYMBOLS_PER_REQUEST: Final = 50
# Reasons for a refusal that pass.
PASSING: Final = frozenset(("RATE_LIMITED", "UNAVAILABLE", "NO_ANSWER", "INTERNAL"))
_CHECK_EVERY: Final = 1.0


class Socket(Protocol):
    """The part of `socketio.AsyncClient` that is used."""

    @property
    def connected(self) -> bool: ...
    def on(self, event: str, handler: Callable[..., Any], /) -> Any: ...
    async def call(self, event: str, data: Any, /, *, timeout: float) -> Any: ...  # noqa: ASYNC109 the library's


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a subscription.

    Attributes:
        symbols: Those that are subscribed to.
        failed: The reason for each of the others, as of docs/client.md, or NO_ANSWER.
    """

    symbols: list[str]
    failed: dict[str, str]


class Quotes:
    """The newest quotes of symbols. What it hands out is not to be changed.

    It sets the client's handlers of `connect`, `market:status`, `watchlist:quote`, `watchlist:quote:delta` and
    `watchlist:stale`: python-socketio has one for each event. To be made before the client connects.

    Args:
        sio: The client; `"deltas": True` in its `auth` makes the server send deltas.
        on_quote: Called with a symbol and its newest `{symbol, quote, timestamp}`: never an older one than before.
        on_stale: Called with a symbol, and the Unix time of its last quote; or None where quotes come again.
        on_connect: Called at each connect, in place of a handler of one's own.
        on_status: The same for `market:status`, with its payload.
        max_age: Seconds after which a symbol without a quote is stale while the market is open, or a function of the
            symbol; None: only what the server says is.
        repair_interval: Least seconds between requests for whole quotes.
        answer_timeout: Seconds that an answer may take.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        sio: Socket,
        *,
        on_quote: Callable[[str, Payload], None] | None = None,
        on_stale: Callable[[str, float | None], None] | None = None,
        on_connect: Callable[[], None] | None = None,
        on_status: Callable[[Any], None] | None = None,
        max_age: float | Callable[[str], float | None] | None = None,
        repair_interval: float = 2.0,
        answer_timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sio = sio
        self._on_quote = on_quote
        self._on_stale = on_stale
        self._on_connect = on_connect
        self._on_status = on_status
        self._repair_interval = repair_interval
        self._answer_timeout = answer_timeout
        self._clock = clock
        self._book = QuoteBook()
        self._ages = QuoteAges(max_age if callable(max_age) else lambda symbol: max_age)
        self._wanted: set[str] = set()
        self._missing: set[str] = set()
        self._next_repair = 0.0
        self._repairing: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closed = False
        sio.on("connect", self._connected)
        sio.on("market:status", self._take_status)
        sio.on("watchlist:quote", self._take_whole)
        sio.on("watchlist:quote:delta", self._take_delta)
        sio.on("watchlist:stale", self._take_stale)

    def get(self, symbol: str) -> Payload | None:
        """The newest payload of a symbol; None: none has come."""
        return self._book.get(symbol)

    @property
    def wanted(self) -> frozenset[str]:
        """Symbols that are wanted, subscribed to or not yet."""
        return frozenset(self._wanted)

    @property
    def stale(self) -> Mapping[str, float]:
        """The Unix time of the last quote of each stale symbol."""
        return {symbol: self._unix_time(since) for symbol, since in self._ages.stale.items()}

    async def subscribe(self, symbols: Iterable[str]) -> Answer:
        """Subscribe to symbols, now and after each lost connection. What has failed is not tried again.

        Without a connection that is done once there is one, and the answer is empty.
        """
        asked = list(dict.fromkeys(symbols))
        self._wanted.update(asked)
        if not self._sio.connected:
            return Answer([], {})
        answer = await self._request("subscribe:watchlist", asked)
        for symbol in answer.failed:
            self._drop(symbol)
        return answer

    async def unsubscribe(self, symbols: Iterable[str]) -> Answer:
        """Unsubscribe from symbols. What was known of them is forgotten."""
        asked = [symbol for symbol in dict.fromkeys(symbols) if symbol in self._wanted]
        for symbol in asked:
            self._drop(symbol)
        if not asked or not self._sio.connected:
            return Answer(asked, {})
        answer = await self._request("unsubscribe:watchlist", asked)
        for symbol in asked:  # what still came before the answer
            if symbol not in self._wanted:
                self._drop(symbol)
        return answer

    async def close(self) -> None:
        """Stop: nothing is called any more. The client and its subscriptions stay as they are."""
        self._closed = True
        for task in (self._repairing, self._watching):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def check_ages(self) -> None:
        """Look for stale quotes. Done once a second while connected or not; for tests."""
        self._report_stale(self._ages.find_stale(self._clock()))

    # -- from the server. One more argument may come: an offset, of a client that recovers.

    async def _connected(self) -> None:
        if self._closed:
            return
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="ages of quotes")
        self._book.begin_connection()
        self._missing.clear()
        if self._on_connect is not None:
            self._on_connect()
        if not self._wanted:
            return
        answer = await self._request("subscribe:watchlist", sorted(self._wanted))
        for symbol, reason in answer.failed.items():
            if symbol not in self._wanted:
                continue
            if reason in PASSING:
                self._repair(symbol)
            else:
                self._drop(symbol)

    def _take_status(self, message: Any, *rest: Any) -> None:
        if self._closed:
            return
        self._ages.take_status(message.get("status") if isinstance(message, Mapping) else None, self._clock())
        if self._on_status is not None:
            self._on_status(message)

    def _take_whole(self, payload: Any, *rest: Any) -> None:
        if self._closed or not isinstance(payload, Mapping) or not isinstance(payload.get("symbol"), str):
            return
        symbol = payload["symbol"]
        self._missing.discard(symbol)
        self._hand_out(symbol, self._book.take_whole(payload))

    def _take_delta(self, payload: Any, *rest: Any) -> None:
        if self._closed:
            return
        found = self._book.take_delta(payload)
        if isinstance(found, str):
            self._repair(found)
        elif found is not None:
            self._hand_out(found["symbol"], found)

    def _take_stale(self, message: Any, *rest: Any) -> None:
        symbols = message.get("symbols") if isinstance(message, Mapping) else None
        if self._closed or not isinstance(symbols, list):
            return
        known = [symbol for symbol in symbols if isinstance(symbol, str) and symbol in self._wanted]
        if message.get("stale") is not False:
            self._report_stale(self._ages.mark(known, self._clock()))
            return
        for symbol in known:
            if self._ages.clear(symbol) and self._on_stale is not None:
                self._on_stale(symbol, None)

    # -- the steps of the above

    def _hand_out(self, symbol: str, payload: Payload | None) -> None:
        was_stale = self._ages.receive(symbol, self._clock())
        if was_stale and self._on_stale is not None:
            self._on_stale(symbol, None)
        if payload is not None and self._on_quote is not None:
            self._on_quote(symbol, payload)

    def _report_stale(self, symbols: Iterable[str]) -> None:
        if self._on_stale is not None:
            for symbol in symbols:
                self._on_stale(symbol, self._unix_time(self._ages.stale[symbol]))

    def _unix_time(self, since: float) -> float:
        return time.time() - (self._clock() - since)

    def _drop(self, symbol: str) -> None:
        self._wanted.discard(symbol)
        self._missing.discard(symbol)
        self._ages.forget(symbol)
        self._book.forget(symbol)

    async def _request(self, event: str, symbols: list[str]) -> Answer:
        done: list[str] = []
        failed: dict[str, str] = {}
        for start in range(0, len(symbols), SYMBOLS_PER_REQUEST):
            some = symbols[start : start + SYMBOLS_PER_REQUEST]
            try:
                answer = await self._sio.call(event, {"symbols": some}, timeout=self._answer_timeout)
            except Exception:  # of whichever library: it took too long, or the connection is lost
                answer = None
            said: Mapping[str, Any] = answer if isinstance(answer, Mapping) else {"reason": "NO_ANSWER"}
            listed = said.get("symbols") or ()
            reasons = {one.get("symbol"): one.get("reason") for one in said.get("failed") or ()}
            done += [symbol for symbol in some if symbol in listed]
            failed |= {
                symbol: str(reasons.get(symbol) or said.get("reason") or "") for symbol in some if symbol not in listed
            }
        return Answer(done, failed)

    def _repair(self, symbol: str) -> None:
        """Subscribe to a symbol again, so that its next quote comes whole. Requests are rare, however many miss one."""
        self._missing.add(symbol)
        if self._repairing is None and not self._closed:
            self._repairing = asyncio.create_task(self._request_wholes(), name="whole quotes")

    async def _request_wholes(self) -> None:
        try:
            while self._missing:
                await asyncio.sleep(max(0.0, self._next_repair - self._clock()))
                symbols = sorted(self._missing)
                self._missing.clear()
                if not symbols or not self._sio.connected:
                    return
                self._next_repair = self._clock() + self._repair_interval
                answer = await self._request("subscribe:watchlist", symbols)
                passing = {symbol for symbol, reason in answer.failed.items() if reason in PASSING}
                self._missing |= passing & self._wanted
        finally:
            self._repairing = None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_EVERY)
            self.check_ages()

"""A trader's page in small: a standard client, and what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from kit.clients.node import StockClient, StockClients, from_wire
from kit.network.slow_link import SlowLink
from tradecast.client.book import QuoteBook

RECONNECT = {"reconnectionDelay": 50, "reconnectionDelayMax": 200, "randomizationFactor": 0.5}


class Page:
    """Shows the newest quote of some symbols, its user's trades, and the market's status.

    Quotes and trades of the test are numbered: `n`, from 1 and rising.

    Args:
        name: For failures.
        clients: Makes its clients.
        link: What it connects through.
        auth: Its session, and what else it says.
        symbols: What it subscribes to.
        options: socket.io-client's.

    Attributes:
        quotes: The newest quote of each symbol.
        trades: Numbers of its trades, in the order in which they came.
        status: The market's newest.
        wrong: What must not have happened.
        loads: How often it was loaded.
        recovered: How many of its connections were recovered.
        connects: How many connections it has had.
        deltas: How many deltas it has received.
    """

    def __init__(
        self,
        name: str,
        clients: StockClients,
        link: SlowLink,
        auth: Mapping[str, Any],
        symbols: Sequence[str],
        **options: Any,
    ) -> None:
        self.name = name
        self.quotes: dict[str, Any] = {}
        self.trades: list[int] = []
        self.status: Any = None
        self.wrong: list[str] = []
        self.loads = self.recovered = self.connects = self.deltas = 0
        self.link = link
        self._clients = clients
        self._auth = dict(auth)
        self._symbols = symbols
        self._options = {"transports": ["websocket"], **RECONNECT, **options}
        self._book = QuoteBook()
        self._client: StockClient | None = None
        self._repairs: set[asyncio.Task[None]] = set()

    @property
    def client(self) -> StockClient:
        assert self._client is not None
        return self._client

    async def load(self) -> None:
        """Connect and subscribe, as a page does when it is opened or loaded again: what it showed is gone.

        What it has shown before is kept only to see that nothing older comes.
        """
        if self._client is not None:
            self._client.observer = None
            await self._client.close()
        self.loads += 1
        self._book = QuoteBook()
        self.trades, self.status = [], None
        self._client = client = await self._clients.open(self.link.url, self._auth, observer=self, **self._options)
        await client.wait_connect()
        await client.call("subscribe:watchlist", {"symbols": list(self._symbols)})
        (answer,) = await client.call("subscribe:trades", {})
        # They come before what is live: the client is given nothing of the room before the answer.
        self.trades = [payload["trade"]["n"] for payload in _recent(answer)] + self.trades

    async def lose_connection(self) -> None:
        """Its transport is cut; the client comes back as it likes."""
        await self.client.drop()
        await self.client.wait_disconnect()

    async def catch_up(self) -> None:
        """Until it has what was sent before now: an answer comes behind that."""
        await self.client.call("subscribe:trades", {})

    async def close(self) -> None:
        for repair in self._repairs:
            repair.cancel()
        await asyncio.gather(*self._repairs, return_exceptions=True)

    def on_message(self, message: Mapping[str, Any]) -> None:
        """Show what came (`kit.clients.node.Observer`)."""
        match message["type"], message.get("event"):
            case "connect", _:
                self.connects += 1
                self.recovered += message["recovered"]
                self._book.begin_connection()
            case "event", "watchlist:quote":
                payload = from_wire(message["args"])[0]
                self._check_age(payload)
                self._show(self._book.take_whole(payload))
            case "event", "watchlist:quote:delta":
                self.deltas += 1
                self._on_delta(from_wire(message["args"])[0])
            case "event", "trade:executed":
                self.trades.append(message["args"][0]["trade"]["n"])
            case "event", "market:status":
                self.status = message["args"][0]["status"]
            case "event", "error":
                self.wrong.append(f"error: {message['args']}")
            case _:
                pass

    def _on_delta(self, delta: Any) -> None:
        found = self._book.take_delta(delta)
        if isinstance(found, str):
            repair = asyncio.create_task(self._ask_again(found))
            self._repairs.add(repair)
            repair.add_done_callback(self._repairs.discard)
        elif found is not None:
            self._check_age(found)
            self._show(found)

    async def _ask_again(self, symbol: str) -> None:
        await self.client.call("subscribe:watchlist", {"symbol": symbol})

    def _check_age(self, payload: Any) -> None:
        symbol, number = payload["symbol"], payload["quote"]["n"]
        shown = self.quotes.get(symbol)
        if shown is not None and number < shown["n"]:
            self.wrong.append(f"{symbol}: quote {number} came after {shown['n']}, on connection {self.connects}")

    def _show(self, payload: Any) -> None:
        if payload is not None:
            self.quotes[payload["symbol"]] = payload["quote"]


def _recent(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The payloads of the trades that `subscribe:trades` answers with, the newest last."""
    return [one["data"] for one in answer.get("recent") or []]

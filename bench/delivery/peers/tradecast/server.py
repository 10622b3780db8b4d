"""tradecast in mode `single`, as `tradecast serve` runs it, with a feed, for the delivery benchmark.

    server.py PORTFOLIO SESSIONS COUNT

Makes COUNT sessions in its memory, and writes them to SESSIONS: an id and a user's id a line. Then says the ports of
its clients and of its feed on standard output. Settings come from the environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from tradecast.bootstrap.ports import create_process
from tradecast.iso_time import format_now
from tradecast.lifecycle.process import tune_garbage_collection
from tradecast.server import WebSocketServer
from tradecast.sessions.models import User

DAY = 86_400


class Feed:
    """Emits what the feed's lines say.

    Args:
        server: Emits.
        portfolio: A large one.
    """

    def __init__(self, server: WebSocketServer, portfolio: dict[str, Any]) -> None:
        self._server = server
        self._portfolio = portfolio

    async def read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """To its end."""
        server = self._server
        while line := await reader.readline():
            found = json.loads(line)
            if "quote" in found:
                await server.emit_watchlist_quote(found["symbol"], found["quote"])
            elif "trade" in found:
                await server.emit_trade_executed(found["user"], found["trade"])
            else:
                portfolio = {**self._portfolio, "n": found["portfolio"]}
                update = {"userId": "user-000000", "portfolio": portfolio, "timestamp": format_now()}
                await server.broadcast("portfolio:update", update)
        writer.close()


async def serve(portfolio: dict[str, Any], sessions: Path, count: int) -> None:
    """Serve until SIGTERM."""
    server = WebSocketServer()
    await server.initialize()
    with sessions.open("w") as file:
        for number in range(count):
            user = User(f"user-{number:06}", name="A. Trader", email="trader@example.com", tier="premium")
            session_id, _ = await server.sessions.create(user, DAY)
            file.write(f"{session_id} {user.id}\n")
    process = create_process(server)
    await process.start()
    tune_garbage_collection()
    feed = await asyncio.start_server(Feed(server, portfolio).read, "127.0.0.1", 0)
    print(json.dumps({"port": process.ports["public"], "feed": feed.sockets[0].getsockname()[1]}), flush=True)
    await process.run_until_signal()
    feed.close()
    await server.shutdown()


if __name__ == "__main__":
    uvloop.run(serve(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), int(sys.argv[3])))

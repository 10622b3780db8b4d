"""python-socketio as it comes, with rooms of symbols and of users' trades, for the delivery benchmark.

    server.py PORTFOLIO

Says the ports of its clients and of its feed on standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import socketio
import uvicorn
import uvloop

sio = socketio.AsyncServer(async_mode="asgi", ping_interval=300, ping_timeout=300)


def timestamp() -> str:
    """Now, as JavaScript's `toISOString`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@sio.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, str]) -> None:
    """Let everybody in."""
    await sio.save_session(sid, {"user": auth["userId"]})


@sio.on("subscribe:watchlist")
async def subscribe_watchlist(sid: str, data: dict[str, list[str]]) -> dict[str, Any]:
    """Join the symbols' rooms."""
    for symbol in data["symbols"]:
        await sio.enter_room(sid, f"watchlist:{symbol}")
    return {"success": True, "symbols": data["symbols"], "failed": [], "timestamp": timestamp()}


@sio.on("subscribe:trades")
async def subscribe_trades(sid: str) -> dict[str, Any]:
    """Join the room of one's own trades."""
    user = (await sio.get_session(sid))["user"]
    await sio.enter_room(sid, f"trades:{user}")
    return {"success": True, "userId": user, "timestamp": timestamp()}


class Feed:
    """Emits what the feed's lines say.

    Args:
        portfolio: A large one.
    """

    def __init__(self, portfolio: dict[str, Any]) -> None:
        self._portfolio = portfolio

    async def read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """To its end."""
        while line := await reader.readline():
            found = json.loads(line)
            if "quote" in found:
                data = {**found, "timestamp": timestamp()}
                await sio.emit("watchlist:quote", data, room=f"watchlist:{found['symbol']}")
            elif "trade" in found:
                user = found["user"]
                data = {"userId": user, "trade": found["trade"], "timestamp": timestamp()}
                await sio.emit("trade:executed", data, room=f"trades:{user}")
            else:
                portfolio = {**self._portfolio, "n": found["portfolio"]}
                await sio.emit("portfolio:update", {"portfolio": portfolio, "timestamp": timestamp()})
        writer.close()


async def serve(portfolio: dict[str, Any]) -> None:
    """Serve until killed."""
    config = uvicorn.Config(socketio.ASGIApp(sio), host="127.0.0.1", port=0, log_level="warning", access_log=False)
    config.ws_per_message_deflate = False
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 it tells nobody
        await asyncio.sleep(0.01)
    feed = await asyncio.start_server(Feed(portfolio).read, "127.0.0.1", 0)
    ports = {"port": server.servers[0].sockets[0].getsockname()[1], "feed": feed.sockets[0].getsockname()[1]}
    print(json.dumps(ports), flush=True)
    await serving


if __name__ == "__main__":
    uvloop.run(serve(json.loads(Path(sys.argv[1]).read_text())))

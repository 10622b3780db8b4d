"""(a) tradecast in mode `single`, as `tradecast serve` runs it, with an event of an application's own: `echo`.

    server.py SESSIONS COUNT

Makes COUNT sessions in its memory, and writes them to SESSIONS: an id and a user's id a line. Then says its port on
standard output. `bench:broadcast {count}` sends so many portfolio updates to all clients. Settings come from the
environment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from tradecast.bootstrap.ports import create_process
from tradecast.connections.connection import Connection
from tradecast.iso_time import format_now
from tradecast.lifecycle.process import tune_garbage_collection
from tradecast.server import WebSocketServer
from tradecast.sessions.models import User

DAY = 86_400
PORTFOLIO = {"totalValue": 125430.5, "dayChange": -312.25, "dayChangePercent": -0.25}


async def serve(sessions: Path, count: int) -> None:
    """Serve until SIGTERM."""
    server = WebSocketServer()

    def echo(connection: Connection, data: Any) -> Any:
        return data

    async def broadcast(connection: Connection, data: Any) -> None:
        for _ in range(data["count"]):
            update = {"userId": "user-000000", "portfolio": PORTFOLIO, "timestamp": format_now()}
            await server.broadcast("portfolio:update", update)

    server.register_event_handler("echo", echo)
    server.register_event_handler("bench:broadcast", broadcast)
    await server.initialize()
    with sessions.open("w") as file:
        for number in range(count):
            user = User(f"user-{number:06}", name="A. Trader", email="trader@example.com", tier="premium")
            session_id, _ = await server.sessions.create(user, DAY)
            file.write(f"{session_id} {user.id}\n")
    process = create_process(server)
    await process.start()
    tune_garbage_collection()
    print(json.dumps({"port": process.ports["public"]}), flush=True)
    await process.run_until_signal()
    await server.shutdown()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
